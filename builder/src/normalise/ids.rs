//! Numbers of system users and groups that packages asked for as they came: given out by name, so that they do not tell in
//! which order packages were configured. Sources: adduser.conf(5) and login.defs(5) for the range, acl(5) and the kernel's
//! `posix_acl_xattr.h` for access control lists.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use super::order::rewrite;
use crate::acl::{self, AccessList};
use crate::error::Error;
use crate::tree::Tree;

/// What `useradd --system`, `adduser --system` and systemd-sysusers give out; below it are Debian's fixed numbers.
const DYNAMIC: RangeInclusive<u32> = 100..=999;

/// New numbers by old ones.
type Numbers = HashMap<u32, u32>;

/// Gives the numbers out anew, everywhere in the tree.
///
/// # Errors
/// [`Error::Tree`] when a file of accounts is not text.
pub(super) fn renumber(tree: &mut Tree) -> Result<(), Error> {
    let users = numbers(tree.text("/etc/passwd").unwrap_or_default());
    let groups = numbers(tree.text("/etc/group").unwrap_or_default());
    rewrite(tree, "/etc/passwd", |text| replaced(text, &[(2, &users), (3, &groups)]))?;
    rewrite(tree, "/etc/group", |text| replaced(text, &[(2, &groups)]))?;
    for (_, entry) in tree.entries_mut() {
        entry.uid = new(entry.uid, &users);
        entry.gid = new(entry.gid, &groups);
        for (_, value) in entry.xattrs.iter_mut().filter(|(name, _)| acl::NAMES.contains(&name.as_str())) {
            if let Some(mut list) = AccessList::from_xattr(value) {
                list.renumber(|user| new(user, &users), |group| new(group, &groups));
                *value = list.to_xattr();
            }
        }
    }
    Ok(())
}

/// Numbers from the first one on, in the order of the names.
fn numbers(accounts: &str) -> Numbers {
    let account = |line: &str| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?.parse().ok()?);
        DYNAMIC.contains(&number).then(|| (name.to_owned(), number))
    };
    let mut found: Vec<(String, u32)> = accounts.lines().filter_map(account).collect();
    found.sort();
    found.into_iter().map(|(_, number)| number).zip(DYNAMIC).collect()
}

fn new(number: u32, numbers: &Numbers) -> u32 {
    numbers.get(&number).copied().unwrap_or(number)
}

fn replaced(text: &str, fields: &[(usize, &Numbers)]) -> String {
    let line = |line: &str| {
        let mut parts: Vec<String> = line.split(':').map(str::to_owned).collect();
        for (place, numbers) in fields {
            if let Some(part) = parts.get_mut(*place)
                && let Ok(number) = part.parse()
            {
                *part = new(number, numbers).to_string();
            }
        }
        parts.join(":") + "\n"
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Entry;

    fn tree(first: (u32, u32), second: (u32, u32)) -> Tree {
        let mut tree = Tree::default();
        let ((journal, network), (samba, uid)) = (first, second);
        let groups = format!(
            "root:x:0:\nadm:x:4:\nsystemd-journal:x:{journal}:\nsystemd-network:x:{network}:\nsambashare:x:{samba}:\nusers:x:1000:\n"
        );
        tree.put("/etc/group", Entry::file(groups)).unwrap();
        tree.put(
            "/etc/passwd",
            Entry::file(format!("root:x:0:0:root:/root:/bin/sh\nn:x:{uid}:{network}::/:/x\n")),
        )
        .unwrap();
        let mut list = vec![2, 0, 0, 0];
        for (tag, number) in [(0x01, u32::MAX), (0x08, samba), (0x08, 4)] {
            list.extend([tag, 0, 5, 0]);
            list.extend(number.to_le_bytes());
        }
        let mut journal = Entry { gid: journal, uid, ..Entry::directory() };
        journal.xattrs.insert("system.posix_acl_access".into(), list);
        tree.put("/var/log/journal", journal).unwrap();
        tree
    }

    #[test]
    fn the_order_of_configuring_does_not_show() {
        let mut one = tree((999, 998), (997, 101));
        let mut other = tree((997, 999), (998, 101));
        for tree in [&mut one, &mut other] {
            renumber(tree).unwrap();
            super::super::order::sort(tree).unwrap();
        }
        for path in ["/etc/group", "/etc/passwd"] {
            assert_eq!(one.text(path), other.text(path), "{path}");
        }
        assert_eq!(one.get("/var/log/journal"), other.get("/var/log/journal"));
        // by name: sambashare, systemd-journal, systemd-network; fixed numbers and people's stay
        let text = one.text("/etc/group").unwrap();
        for line in [
            "adm:x:4:",
            "sambashare:x:100:",
            "systemd-journal:x:101:",
            "systemd-network:x:102:",
            "users:x:1000:",
        ] {
            assert!(text.contains(line), "{text}");
        }
        let journal = one.get("/var/log/journal").unwrap();
        assert_eq!(journal.gid, 101);
        let list = &journal.xattrs["system.posix_acl_access"];
        assert_eq!((&list[16..20], &list[24..28]), (&4u32.to_le_bytes()[..], &100u32.to_le_bytes()[..]));
    }
}
