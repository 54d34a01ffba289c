//! Names of mount units: systemd.unit(5), "String escaping for inclusion in unit names", for paths.

use std::fmt::Write;

/// Longest name of a unit (`UNIT_NAME_MAX` less its NUL). systemd shortens longer ones by a hash; we refuse them.
pub(crate) const LONGEST: usize = 255;

/// Name of the mount unit of an absolute path: what `systemd-escape --path --suffix=mount` prints.
pub(crate) fn mount_unit(path: &str) -> String {
    format!("{}.mount", escape(path))
}

/// `/` between components becomes `-`; all but ASCII letters, digits, `:`, `_`, `.` becomes `\xNN`, as does a leading
/// dot; the root is `-`. Slashes at both ends and doubled ones do not count.
fn escape(path: &str) -> String {
    let components: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if components.is_empty() {
        return "-".to_owned();
    }
    let mut out = String::with_capacity(path.len());
    for (index, byte) in components.join("/").bytes().enumerate() {
        match byte {
            b'/' => out.push('-'),
            b'.' if index > 0 => out.push('.'),
            b':' | b'_' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            // writing to a string does not fail
            _ => drop(write!(out, "\\x{byte:02x}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Taken from `systemd-escape --path --suffix=mount` of systemd 252.
    #[test]
    fn as_systemd_does() {
        for (path, name) in [
            ("/srv/smb/My Files", r"srv-smb-My\x20Files.mount"),
            ("/var/lib/smbgw/disk", "var-lib-smbgw-disk.mount"),
            ("/dev/disk/by-id/virtio-smbgw-data", r"dev-disk-by\x2did-virtio\x2dsmbgw\x2ddata.mount"),
            ("/srv/smb/Bücher", r"srv-smb-B\xc3\xbccher.mount"),
            (r"/srv/smb/a.b:c_d\e", r"srv-smb-a.b:c_d\x5ce.mount"),
            ("/.x", r"\x2ex.mount"),
            ("/", "-.mount"),
        ] {
            assert_eq!(mount_unit(path), name);
        }
    }

    /// The way back, as systemd-escape --unescape --path goes it.
    fn unescape(name: &str) -> String {
        let (mut out, bytes) = (Vec::new(), name.as_bytes());
        let mut at = 0;
        while at < bytes.len() {
            match bytes[at] {
                b'-' => out.push(b'/'),
                b'\\' => {
                    out.push(u8::from_str_radix(&name[at + 2..at + 4], 16).unwrap());
                    at += 3;
                }
                byte => out.push(byte),
            }
            at += 1;
        }
        format!("/{}", String::from_utf8(out).unwrap())
    }

    proptest! {
        #[test]
        fn nothing_is_lost(parts in proptest::collection::vec("[^/\0]{1,12}", 1..5)) {
            let path = format!("/{}", parts.join("/"));
            let name = escape(&path);
            prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b":_.-\\".contains(&b)), "{name}");
            prop_assert!(!name.starts_with('.'));
            prop_assert_eq!(unescape(&name), path);
        }
    }
}
