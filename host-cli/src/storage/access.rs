//! Who may write (pure).

use super::{Acl, StorageFacts};

/// Whether this user may make files in the directory. A user's own group has the same number as the user.
pub fn may_write(facts: &StorageFacts, uid: u32, gids: &[u32]) -> bool {
    let acl = facts.acl.clone().unwrap_or_else(|| Acl::from_mode(facts.mode));
    acl.permissions(uid, gids, facts.uid, facts.gid) & 3 == 3
}

/// Whether any member of this group may make files in the directory, whoever it is.
pub fn group_may_write(facts: &StorageFacts, gid: u32) -> bool {
    // nobody has this uid (chown(2): it means "as it is")
    may_write(facts, u32::MAX, &[gid])
}

/// Whether this user may list the directory.
pub fn may_read(facts: &StorageFacts, uid: u32, gids: &[u32]) -> bool {
    let acl = facts.acl.clone().unwrap_or_else(|| Acl::from_mode(facts.mode));
    acl.permissions(uid, gids, facts.uid, facts.gid) & 5 == 5
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(uid: u32, gid: u32, mode: u32) -> StorageFacts {
        StorageFacts { uid, gid, mode, ..StorageFacts::default() }
    }

    #[test]
    fn writing_needs_write_and_search() {
        assert!(may_write(&facts(1000, 0, 0o755), 1000, &[1000]));
        assert!(!may_write(&facts(0, 0, 0o755), 1000, &[1000]));
        assert!(may_write(&facts(0, 0, 0o777), 1000, &[1000]));
        assert!(!may_write(&facts(0, 0, 0o776), 1000, &[1000]));
        assert!(may_read(&facts(0, 0, 0o755), 1000, &[1000]));
        assert!(may_write(&facts(0, 20_000, 0o2770), 1000, &[1000, 20_000]));
        assert!(group_may_write(&facts(0, 20_000, 0o2770), 20_000));
        assert!(!group_may_write(&facts(0, 20_000, 0o2770), 20_001));
    }
}
