//! POSIX ACLs as getfacl(1) prints them and setfacl(1) takes them: numeric, one entry a line.

use std::collections::BTreeSet;

/// Who has an entry of an own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// A user, by uid.
    User(u32),
    /// A group, by gid.
    Group(u32),
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(uid) => write!(f, "user:{uid}"),
            Self::Group(gid) => write!(f, "group:{gid}"),
        }
    }
}

/// Access and default entries of a directory, as `user:10000:rwx` and `default:user:10000:rwx`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Acl {
    lines: Vec<String>,
}

/// What the names of default entries start with.
const DEFAULT: &str = "default:";

impl Acl {
    /// Takes what `getfacl --omit-header --numeric --no-effective` prints.
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self { lines: lines.map(str::to_owned).collect() }
    }

    /// That of a folder of these users and groups, and nobody else.
    ///
    /// Not even reading is for others: folders may lie in each other (`departments` and `departments/team`), and users
    /// of the outer one are not users of the inner one.
    pub(crate) fn of(people: &BTreeSet<Who>) -> Self {
        let mut lines = Vec::new();
        for prefix in ["", DEFAULT] {
            lines.push(format!("{prefix}user::rwx"));
            let named = |group: bool| people.iter().filter(move |who| matches!(who, Who::Group(_)) == group);
            lines.extend(named(false).map(|who| format!("{prefix}{who}:rwx")));
            lines.push(format!("{prefix}group::---"));
            lines.extend(named(true).map(|who| format!("{prefix}{who}:rwx")));
            // without named entries, a mask would only be in the way
            lines.extend((!people.is_empty()).then(|| format!("{prefix}mask::rwx")));
            lines.push(format!("{prefix}other::---"));
        }
        Self { lines }
    }

    /// As setfacl takes it from a file.
    pub(crate) fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Whether new entries of the directory inherit anything.
    pub(crate) fn has_default(&self) -> bool {
        self.lines.iter().any(|line| line.starts_with(DEFAULT))
    }

    /// Users and groups with an entry that decides about access.
    pub(crate) fn named(&self) -> BTreeSet<Who> {
        let who = |line: &String| {
            let (kind, rest) = line.split_once(':')?;
            let id = rest.split(':').next()?.parse().ok()?;
            match kind {
                "user" => Some(Who::User(id)),
                "group" => Some(Who::Group(id)),
                _ => None,
            }
        };
        self.lines.iter().filter_map(who).collect()
    }

    /// With full access for these, now and in what is made later. The mask opens for them; what it kept from
    /// others stays kept from them.
    #[must_use]
    pub(crate) fn with(&self, people: &BTreeSet<Who>) -> Self {
        let (default, access): (Vec<&str>, Vec<&str>) =
            self.lines.iter().map(String::as_str).partition(|line| line.starts_with(DEFAULT));
        let default: Vec<&str> = default.iter().filter_map(|line| line.strip_prefix(DEFAULT)).collect();
        let default = if default.is_empty() { base(&access) } else { default };
        let inherited = add(&default, people).into_iter().map(|line| format!("{DEFAULT}{line}"));
        Self { lines: add(&access, people).into_iter().chain(inherited).collect() }
    }
}

/// Entries for owner, owning group and others.
fn base<'a>(entries: &[&'a str]) -> Vec<&'a str> {
    let is_base = |line: &&&str| ["user::", "group::", "other::"].iter().any(|start| line.starts_with(start));
    entries.iter().filter(is_base).copied().collect()
}

fn add(entries: &[&str], people: &BTreeSet<Who>) -> Vec<String> {
    let mask = entries.iter().find_map(|line| line.strip_prefix("mask::")).unwrap_or("rwx");
    let is_new = |line: &str| people.iter().any(|who| line.starts_with(&format!("{who}:")));
    let mut lines: Vec<String> = entries
        .iter()
        .filter(|line| !line.starts_with("mask::") && !is_new(line))
        .map(|line| if masked(line) { narrow(line, mask) } else { (*line).to_owned() })
        .collect();
    lines.extend(people.iter().map(|who| format!("{who}:rwx")));
    lines.push("mask::rwx".to_owned());
    lines
}

/// Whether the mask limits an entry (acl(5)): all but owner and others.
fn masked(line: &str) -> bool {
    !line.starts_with("user::") && !line.starts_with("other::")
}

/// The entry with no more than the mask lets through.
fn narrow(line: &str, mask: &str) -> String {
    let Some((who, permissions)) = line.rsplit_once(':') else { return line.to_owned() };
    let both = |(own, mask): (char, char)| if own == mask { own } else { '-' };
    format!("{who}:{}", permissions.chars().zip(mask.chars()).map(both).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(uids: &[u32]) -> BTreeSet<Who> {
        uids.iter().copied().map(Who::User).collect()
    }

    #[test]
    fn a_new_folder_is_its_users_alone() {
        let acl = Acl::of(&users(&[10_000]));
        assert_eq!(
            acl.text(),
            "user::rwx\nuser:10000:rwx\ngroup::---\nmask::rwx\nother::---\n\
             default:user::rwx\ndefault:user:10000:rwx\ndefault:group::---\ndefault:mask::rwx\ndefault:other::---\n"
        );
        assert_eq!(acl.named(), users(&[10_000]));
    }

    #[test]
    fn a_grant_gives_others_nothing() {
        let acl = Acl::parse("user::rwx\nuser:1000:rwx\ngroup::rwx\ngroup:7:r-x\nmask::r--\nother::r-x\n");
        let granted = acl.with(&users(&[2000]));
        let text = granted.text();
        for line in ["user:1000:r--", "group::r--", "group:7:r--", "user:2000:rwx", "mask::rwx", "other::r-x"]
        {
            assert!(text.contains(&format!("{line}\n")), "{line} in {text}");
        }
        assert!(text.contains("default:user:2000:rwx\n") && !text.contains("default:user:1000"));
        let named = BTreeSet::from([Who::User(1000), Who::User(2000), Who::Group(7)]);
        assert_eq!(granted.named(), named);
        assert_eq!(granted.with(&users(&[2000])).named(), named);
        let grouped = granted.with(&BTreeSet::from([Who::Group(20_000)]));
        assert!(
            grouped.text().contains("\ngroup:20000:rwx\n")
                && grouped.text().contains("default:group:20000:rwx\n")
        );
    }
}
