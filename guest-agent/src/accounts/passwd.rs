//! passwd(5), group(5) and gshadow(5), without NSS.

use super::groups::MARK;

/// One line of `/etc/passwd`, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// Login name.
    pub(crate) name: String,
    /// User id.
    pub(crate) uid: u32,
    /// Id of the primary group.
    pub(crate) gid: u32,
    /// Comment, the fifth field.
    pub(crate) comment: String,
}

/// One line of `/etc/group`, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// Name.
    pub(crate) name: String,
    /// Group id.
    pub(crate) gid: u32,
    /// Names of its members.
    pub(crate) members: Vec<String>,
    /// The agent made it for shares.
    pub(crate) ours: bool,
}

/// Accounts in the order of the file. Lines that are none (comments, NIS `+` lines) are passed over.
pub(crate) fn parse_users(text: &str) -> Vec<Account> {
    text.lines().filter_map(parse_user).collect()
}

/// Groups in the order of the file, with their passwords from gshadow(5), or from the file itself where there is none.
pub(crate) fn parse_groups(text: &str, shadow: &str) -> Vec<Group> {
    let marked: Vec<&str> = shadow.lines().chain(text.lines()).filter_map(marked).collect();
    let group = |line| {
        let group: Group = parse_group(line)?;
        Some(Group { ours: marked.contains(&group.name.as_str()), ..group })
    };
    text.lines().filter_map(group).collect()
}

/// Name of the group of a line, if it has our mark.
fn marked(line: &str) -> Option<&str> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    (fields.next()? == MARK).then_some(name)
}

fn parse_user(line: &str) -> Option<Account> {
    // name:password:uid:gid:comment:home:shell
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, comment, _, _] = fields[..] else {
        return None;
    };
    Some(Account {
        name: plain(name)?,
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        comment: comment.to_owned(),
    })
}

fn parse_group(line: &str) -> Option<Group> {
    // name:password:gid:members
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, gid, members] = fields[..] else {
        return None;
    };
    let members = members.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    Some(Group { name: plain(name)?, gid: gid.parse().ok()?, members, ours: false })
}

fn plain(name: &str) -> Option<String> {
    (!name.is_empty() && !name.starts_with(['+', '-', '#'])).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_debians_files() {
        let users = parse_users(
            "root:x:0:0:root:/root:/bin/bash\n\n# no\n+::::::\nalice:x:10000:10000:smbgw:/nonexistent:/usr/sbin/nologin\n",
        );
        assert_eq!(users.len(), 2);
        assert_eq!(
            users[1],
            Account { name: "alice".into(), uid: 10_000, gid: 10_000, comment: "smbgw".into() }
        );
        assert!(users[1].is_ours() && !users[0].is_ours());
        let text = "root:x:0:\nsambashare:x:996:alice,bob\nbroken:x\nsmb-staff:x:20000:alice\n";
        let shadow = "root:*::\nsambashare:!::alice,bob\nsmb-staff:!smbgw::alice\n";
        let groups = parse_groups(text, shadow);
        let members = vec!["alice".to_owned(), "bob".to_owned()];
        assert_eq!(groups[1], Group { name: "sambashare".into(), gid: 996, members, ours: false });
        assert!(groups.len() == 3 && groups[2].ours && groups[2].members == ["alice"]);
        // without gshadow(5), groupadd(8) writes the mark into the file itself
        assert!(parse_groups("smb-x:!smbgw:20001:\n", "")[0].ours);
    }

    proptest! {
        #[test]
        fn never_fails(text in "\\PC*(:\\PC*\n)*") {
            parse_users(&text);
            parse_groups(&text, &text);
        }

        #[test]
        fn reads_what_is_there(name in "[a-z_][a-z0-9_.-]{0,30}", uid: u32, gid: u32, comment in "[^:\n\r]*") {
            let line = format!("{name}:x:{uid}:{gid}:{comment}:/:/bin/sh\n");
            prop_assert_eq!(parse_users(&line), vec![Account { name, uid, gid, comment }]);
        }
    }
}
