//! POSIX access control lists, as archives have them and as ext4 stores them, which are not the same. Sources: acl(5), and the
//! kernel's `include/uapi/linux/posix_acl_xattr.h` and `fs/ext4/acl.h`.

/// Their names among the extended attributes of a file.
pub const NAMES: [&str; 2] = ["system.posix_acl_access", "system.posix_acl_default"];

/// How a list is written.
struct Form {
    version: u32,
    /// Which entries have a number.
    numbered: fn(Tag) -> bool,
}

/// What system calls take and archives hold.
const XATTR: Form = Form { version: 2, numbered: |_| true };
/// What ext4 stores.
const EXT4: Form = Form { version: 1, numbered: Tag::names_somebody };

/// Of an entry that names nobody.
const NOBODY: u32 = u32::MAX;

/// Whom an entry is for. Source: `ACL_USER` and its like in `include/uapi/linux/posix_acl.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tag {
    Owner = 0x01,
    User = 0x02,
    OwningGroup = 0x04,
    Group = 0x08,
    Mask = 0x10,
    Others = 0x20,
}

impl Tag {
    const ALL: [Self; 6] =
        [Self::Owner, Self::User, Self::OwningGroup, Self::Group, Self::Mask, Self::Others];

    fn new(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|tag| *tag as u16 == number)
    }

    fn names_somebody(self) -> bool {
        matches!(self, Self::User | Self::Group)
    }
}

/// An entry. The order is the one that acl(5) asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    tag: Tag,
    number: u32,
    permissions: u16,
}

/// A list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessList(Vec<Entry>);

impl AccessList {
    /// Reads the value of an extended attribute; `None` if it is no list.
    pub fn from_xattr(value: &[u8]) -> Option<Self> {
        Self::parse(value, &XATTR)
    }

    /// Reads what ext4 stores; `None` if it is no list.
    pub fn from_ext4(value: &[u8]) -> Option<Self> {
        Self::parse(value, &EXT4)
    }

    /// The value of an extended attribute.
    pub fn to_xattr(&self) -> Vec<u8> {
        self.to_bytes(&XATTR)
    }

    /// What ext4 stores.
    pub fn to_ext4(&self) -> Vec<u8> {
        self.to_bytes(&EXT4)
    }

    /// Gives users and groups other numbers, and puts the entries in order.
    pub fn renumber(&mut self, user: impl Fn(u32) -> u32, group: impl Fn(u32) -> u32) {
        for entry in &mut self.0 {
            match entry.tag {
                Tag::User => entry.number = user(entry.number),
                Tag::Group => entry.number = group(entry.number),
                _ => {}
            }
        }
        self.0.sort();
    }

    fn parse(value: &[u8], form: &Form) -> Option<Self> {
        let (version, mut left) = value.split_first_chunk()?;
        if u32::from_le_bytes(*version) != form.version {
            return None;
        }
        let mut entries = Vec::new();
        while let Some(([tag, tag_high, permissions, permissions_high], after)) = left.split_first_chunk() {
            let tag = Tag::new(u16::from_le_bytes([*tag, *tag_high]))?;
            let permissions = u16::from_le_bytes([*permissions, *permissions_high]);
            left = after;
            let mut number = NOBODY;
            if (form.numbered)(tag) {
                let (bytes, after) = left.split_first_chunk()?;
                number = u32::from_le_bytes(*bytes);
                left = after;
            }
            entries.push(Entry { tag, number, permissions });
        }
        left.is_empty().then_some(Self(entries))
    }

    fn to_bytes(&self, form: &Form) -> Vec<u8> {
        let mut bytes = form.version.to_le_bytes().to_vec();
        for entry in &self.0 {
            bytes.extend((entry.tag as u16).to_le_bytes());
            bytes.extend(entry.permissions.to_le_bytes());
            if (form.numbered)(entry.tag) {
                bytes.extend(entry.number.to_le_bytes());
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `/var/log/journal` of Debian 13: group 4, `adm`, may read.
    const JOURNAL: [u8; 44] = [
        2, 0, 0, 0, // version
        1, 0, 7, 0, 255, 255, 255, 255, 4, 0, 5, 0, 255, 255, 255, 255, 8, 0, 5, 0, 4, 0, 0, 0, 16, 0, 5, 0,
        255, 255, 255, 255, 32, 0, 5, 0, 255, 255, 255, 255,
    ];

    #[test]
    fn ext4_leaves_numbers_out_that_name_nobody() {
        let list = AccessList::from_xattr(&JOURNAL).unwrap();
        let stored =
            [1, 0, 0, 0, 1, 0, 7, 0, 4, 0, 5, 0, 8, 0, 5, 0, 4, 0, 0, 0, 16, 0, 5, 0, 32, 0, 5, 0].to_vec();
        assert_eq!(list.to_ext4(), stored);
        assert_eq!(AccessList::from_ext4(&stored), Some(list.clone()));
        assert_eq!(list.to_xattr(), JOURNAL);
    }

    #[test]
    fn what_is_no_list_is_not_taken_for_one() {
        let mut unknown = JOURNAL;
        unknown[4] = 3;
        for value in [&[][..], &[2, 0, 0], &[1, 0, 0, 0], &JOURNAL[..40], &unknown] {
            assert_eq!(AccessList::from_xattr(value), None, "{value:?}");
        }
        for value in [&[][..], &[2, 0, 0, 0], &[1, 0, 0, 0, 8, 0, 5, 0], &[1, 0, 0, 0, 1], &JOURNAL] {
            assert_eq!(AccessList::from_ext4(value), None, "{value:?}");
        }
    }

    #[test]
    fn new_numbers_are_in_order() {
        let list = |numbers: [u32; 2]| {
            let group = |number| Entry { tag: Tag::Group, number, permissions: 5 };
            AccessList(numbers.map(group).to_vec())
        };
        let mut found = list([100, 101]);
        found.renumber(|_| 0, |number| 300 - number);
        assert_eq!(found, list([199, 200]));
    }

    proptest! {
        #[test]
        fn lists_come_back(entries in proptest::collection::vec((0usize..6, any::<u16>(), any::<u32>()), 0..9)) {
            let entry = |(tag, permissions, number): (usize, u16, u32)| {
                let tag = Tag::ALL[tag];
                Entry { tag, permissions, number: if tag.names_somebody() { number } else { NOBODY } }
            };
            let list = AccessList(entries.into_iter().map(entry).collect());
            prop_assert_eq!(AccessList::from_xattr(&list.to_xattr()), Some(list.clone()));
            prop_assert_eq!(AccessList::from_ext4(&list.to_ext4()), Some(list));
        }

        #[test]
        fn nothing_panics(value in proptest::collection::vec(0u8..17, 0..40)) {
            let _ = AccessList::from_xattr(&value);
            let _ = AccessList::from_ext4(&value);
        }
    }
}
