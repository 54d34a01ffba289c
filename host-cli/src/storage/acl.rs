//! POSIX ACLs in the form of the `system.posix_acl_*` attributes (Linux `posix_acl_xattr.h`: a u32 version 2, then
//! entries of u16 tag, u16 permissions, u32 id; little endian).

use crate::{Error, Result};

/// Attribute of the ACL that decides about access.
pub const ACCESS: &str = "system.posix_acl_access";
/// Attribute of the ACL that new entries of a directory inherit.
pub const DEFAULT: &str = "system.posix_acl_default";

const VERSION: u32 = 2;
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
/// Id of entries that have none.
const NO_ID: u32 = u32::MAX;
/// Read, write and search.
const RWX: u16 = 7;

/// Who has an entry of an own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Named {
    /// A user, by uid.
    User(u32),
    /// A group, by gid.
    Group(u32),
}

impl Named {
    fn key(self) -> (u16, u32) {
        match self {
            Self::User(uid) => (USER, uid),
            Self::Group(gid) => (GROUP, gid),
        }
    }
}

/// An ACL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    tag: u16,
    id: u32,
    permissions: u16,
}

impl Acl {
    /// The ACL that plain mode bits mean.
    pub fn from_mode(mode: u32) -> Self {
        let entry = |tag, shift: u32| Entry { tag, id: NO_ID, permissions: ((mode >> shift) & 7) as u16 };
        Self { entries: vec![entry(USER_OBJ, 6), entry(GROUP_OBJ, 3), entry(OTHER, 0)] }
    }

    /// Reads an attribute's value.
    ///
    /// # Errors
    /// When it is not an ACL of version 2.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let damaged =
            || Error::infrastructure("acl-unreadable", "the file system gave an ACL of an unknown form");
        let (version, rest) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
        if u32::from_le_bytes(*version) != VERSION || rest.len() % 8 != 0 {
            return Err(damaged());
        }
        let entries = rest
            .chunks_exact(8)
            .map(|c| Entry {
                tag: u16::from_le_bytes([c[0], c[1]]),
                permissions: u16::from_le_bytes([c[2], c[3]]),
                id: u32::from_le_bytes([c[4], c[5], c[6], c[7]]),
            })
            .collect();
        Ok(Self { entries })
    }

    /// The attribute's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for entry in &self.entries {
            bytes.extend(entry.tag.to_le_bytes());
            bytes.extend(entry.permissions.to_le_bytes());
            bytes.extend(entry.id.to_le_bytes());
        }
        bytes
    }

    /// With full access for this one; the mask is widened to let it through.
    #[must_use]
    pub fn with(&self, named: Named) -> Self {
        let (tag, id) = named.key();
        let mut entries: Vec<_> =
            self.entries.iter().copied().filter(|e| (e.tag, e.id) != (tag, id)).collect();
        entries.push(Entry { tag, id, permissions: RWX });
        match entries.iter_mut().find(|e| e.tag == MASK) {
            Some(mask) => {
                let old = std::mem::replace(&mut mask.permissions, RWX);
                // what the old mask kept from others must stay kept from them
                let others =
                    |e: &&mut Entry| matches!(e.tag, USER | GROUP_OBJ | GROUP) && (e.tag, e.id) != (tag, id);
                entries.iter_mut().filter(others).for_each(|e| e.permissions &= old);
            }
            None => entries.push(Entry { tag: MASK, id: NO_ID, permissions: RWX }),
        }
        entries.sort();
        Self { entries }
    }

    /// Without an entry for this one. With the last named entry goes the mask, which only named entries need.
    #[must_use]
    pub fn without(&self, named: Named) -> Self {
        let mut entries = self.entries.clone();
        let before = entries.len();
        entries.retain(|e| (e.tag, e.id) != named.key());
        if entries.len() < before && !entries.iter().any(|e| e.tag == USER || e.tag == GROUP) {
            entries.retain(|e| e.tag != MASK);
        }
        Self { entries }
    }

    /// Whether it says no more than mode bits do.
    pub fn is_minimal(&self) -> bool {
        self.entries.iter().all(|e| matches!(e.tag, USER_OBJ | GROUP_OBJ | OTHER))
    }

    /// All who have an entry of their own.
    pub fn all_named(&self) -> Vec<Named> {
        let named = |e: &Entry| match e.tag {
            USER => Some(Named::User(e.id)),
            GROUP => Some(Named::Group(e.id)),
            _ => None,
        };
        self.entries.iter().filter_map(named).collect()
    }

    /// Whether this one has an entry.
    pub fn names(&self, named: Named) -> bool {
        self.entries.iter().any(|e| (e.tag, e.id) == named.key())
    }

    /// Permissions (r 4, w 2, x 1) of a user who is not root, given who owns the directory (acl(5), "access check
    /// algorithm"), and which groups the user is in.
    pub fn permissions(&self, uid: u32, gids: &[u32], owner: u32, group: u32) -> u16 {
        let first = |tag| self.entries.iter().find(|e| e.tag == tag).map(|e| e.permissions);
        let mask = first(MASK).unwrap_or(RWX);
        if uid == owner {
            return first(USER_OBJ).unwrap_or(0);
        }
        if let Some(entry) = self.entries.iter().find(|e| e.tag == USER && e.id == uid) {
            return entry.permissions & mask;
        }
        let owning = gids.contains(&group).then(|| first(GROUP_OBJ)).flatten();
        let named = self.entries.iter().filter(|e| e.tag == GROUP && gids.contains(&e.id));
        let granted: Vec<u16> = owning.into_iter().chain(named.map(|e| e.permissions)).collect();
        match granted.iter().copied().reduce(|a, b| a | b) {
            None => first(OTHER).unwrap_or(0),
            Some(permissions) => permissions & mask,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mode_bits_are_an_acl() {
        let acl = Acl::from_mode(0o2750);
        assert_eq!(acl.permissions(1000, &[1000], 1000, 0), 7);
        assert_eq!(acl.permissions(1000, &[100], 0, 100), 5);
        assert_eq!(acl.permissions(1000, &[1000], 0, 0), 0);
    }

    #[test]
    fn a_granted_user_gets_through_a_tight_mask() {
        let acl = Acl::from_mode(0o750)
            .with(Named::User(10_000))
            .with(Named::User(10_001))
            .with(Named::User(10_000));
        assert_eq!(acl.permissions(10_000, &[10_000], 0, 0), 7);
        assert_eq!(acl.permissions(10_002, &[10_002], 0, 0), 0);
        assert_eq!(acl.entries.iter().filter(|e| e.tag == USER).count(), 2);
        // the kernel wants entries sorted by tag and id
        assert!(acl.entries.is_sorted());
    }

    #[test]
    fn a_grant_gives_others_nothing() {
        let mut tight = Acl::from_mode(0o750).with(Named::User(1000));
        tight.entries.iter_mut().find(|e| e.tag == MASK).unwrap().permissions = 0;
        let granted = tight.with(Named::User(2000));
        assert_eq!(granted.permissions(1000, &[1000], 0, 0), 0);
        assert_eq!(granted.permissions(2000, &[2000], 0, 0), 7);
    }

    #[test]
    fn groups_get_in_and_out_again() {
        let (before, staff) = (Acl::from_mode(0o750), Named::Group(20_000));
        let granted = before.with(staff);
        assert!(granted.names(staff) && !granted.names(Named::User(20_000)));
        assert_eq!(granted.permissions(10_000, &[10_000, 20_000], 0, 0), 7);
        assert_eq!(granted.permissions(10_000, &[10_000], 0, 0), 0);
        assert_eq!(granted.without(staff), before);
        // an entry that is left keeps the mask
        let both = granted.with(Named::User(10_000)).without(staff);
        assert_eq!(both.permissions(10_000, &[10_000], 0, 0), 7);
    }

    proptest! {
        #[test]
        fn bytes_read_back(mode in 0u32..0o1000, uids in proptest::collection::vec(1u32..70_000, 0..5)) {
            let acl = uids.iter().fold(Acl::from_mode(mode), |acl, uid| acl.with(Named::User(*uid)));
            prop_assert_eq!(Acl::parse(&acl.to_bytes()).unwrap(), acl);
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Acl::parse(&bytes);
        }
    }
}
