//! What a tar says of its next entry in headers before it: pax records and GNU's long names.
//!
//! Source: pax(1), "pax Extended Header"; GNU tar's manual, "Extensions".

use std::collections::BTreeMap;
use std::io;

/// What differs from the entry's own header, or is not in it at all.
#[derive(Debug, Default)]
pub(super) struct Extended {
    pub(super) path: Option<Vec<u8>>,
    /// Of links.
    pub(super) target: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    /// By full name.
    pub(super) xattrs: BTreeMap<String, Vec<u8>>,
}

impl Extended {
    /// The kinds of such headers.
    pub(super) const KINDS: [tar::EntryType; 3] =
        [tar::EntryType::XHeader, tar::EntryType::GNULongName, tar::EntryType::GNULongLink];

    /// Takes in one such header of this kind, and its content.
    pub(super) fn add(&mut self, kind: tar::EntryType, bytes: &[u8]) -> io::Result<()> {
        let name = || Some(bytes.strip_suffix(b"\0").unwrap_or(bytes).to_owned());
        match kind {
            tar::EntryType::GNULongName => self.path = name(),
            tar::EntryType::GNULongLink => self.target = name(),
            _ => self.add_records(bytes).ok_or_else(|| io::Error::other("malformed pax records"))?,
        }
        Ok(())
    }

    fn add_records(&mut self, bytes: &[u8]) -> Option<()> {
        const XATTR: &str = "SCHILY.xattr.";
        let mut rest = bytes;
        while !rest.is_empty() {
            // `LENGTH KEY=VALUE\n`, where the length counts all of it, and the value may be any bytes
            let space = rest.iter().position(|&byte| byte == b' ')?;
            let length = std::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
            let (record, after) = rest.split_at_checked(length)?;
            rest = after;
            let text = record.get(space + 1..)?.strip_suffix(b"\n")?;
            let equals = text.iter().position(|&byte| byte == b'=')?;
            let (key, value) = (std::str::from_utf8(&text[..equals]).ok()?, &text[equals + 1..]);
            if let Some(name) = key.strip_prefix(XATTR) {
                self.xattrs.insert(name.to_owned(), value.to_owned());
                continue;
            }
            // no value takes back what an earlier record said
            let bytes = (!value.is_empty()).then(|| value.to_owned());
            let number = || match std::str::from_utf8(value).ok()? {
                "" => Some(None),
                text => text.parse().ok().map(Some),
            };
            match key {
                "path" => self.path = bytes,
                "linkpath" => self.target = bytes,
                "size" => self.size = number()?,
                "uid" => self.uid = number()?,
                "gid" => self.gid = number()?,
                _ => {}
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &[u8]) -> io::Result<Extended> {
        let mut extended = Extended::default();
        extended.add(tar::EntryType::XHeader, text)?;
        Ok(extended)
    }

    #[test]
    fn values_are_any_bytes() {
        let text = b"26 SCHILY.xattr.user.a=\n=\n12 path=a\nb\n12 uid=1000\n";
        let found = records(text).unwrap();
        assert_eq!(found.xattrs["user.a"], b"\n=");
        assert_eq!((found.path.as_deref(), found.uid), (Some(&b"a\nb"[..]), Some(1000)));
    }

    #[test]
    fn damaged_records_are_refused() {
        for text in ["9 path=a", "99 path=a\n", "0 path=a\n", "3 path=a\n", "9 path-a\n", "9 uid=-1\n", "x"] {
            assert!(records(text.as_bytes()).is_err(), "{text}");
        }
    }
}
