//! Options of smb.conf(5) that a person gives for a share as they are.

use serde::{Deserialize, Serialize};

use crate::{Invalid, text_newtype};

/// Options of shares in Samba 4.17 to 4.22 that touch neither who may do what, nor what is run, nor what the product itself
/// sets. Everything else is refused, so a new dangerous option of a later Samba is, too.
const SHARE_OPTIONS: &[&str] = &[
    "access based share enum",
    "acl allow execute always",
    "acl flag inherited canonicalization",
    "acl map full control",
    "aio read size",
    "aio write size",
    "allocation roundup size",
    "blocking locks",
    "block size",
    "case sensitive",
    "check parent directory delete on close",
    "csc policy",
    "default case",
    "delete readonly",
    "delete veto files",
    "directory name cache size",
    "dont descend",
    "dos filemode",
    "dos filetime resolution",
    "dos filetimes",
    "durable handles",
    "ea support",
    "fake directory create times",
    "follow symlinks",
    "fstype",
    "hide dot files",
    "hide files",
    "hide new files timeout",
    "hide special files",
    "hide unwriteable files",
    "hosts allow",
    "hosts deny",
    "kernel oplocks",
    "kernel share modes",
    "level2 oplocks",
    "locking",
    "mangled names",
    "mangling char",
    "map archive",
    "map hidden",
    "map readonly",
    "map system",
    "max connections",
    "oplocks",
    "posix locking",
    "preserve case",
    "short preserve case",
    "smbd async dosmode",
    "smbd getinfo ask sharemode",
    "smbd max async dosmode",
    "smbd max xattr size",
    "smbd search ask sharemode",
    "strict allocate",
    "strict locking",
    "strict rename",
    "strict sync",
    "sync always",
    "use sendfile",
    "veto files",
    "veto oplock files",
    "volume",
    "volume serial number",
];

/// Options of single modules that are taken.
const MODULE_OPTIONS: &[&str] = &[
    "fruit:convert_adouble",
    "fruit:delete_empty_adfiles",
    "fruit:posix_rename",
    "fruit:veto_appledouble",
    "fruit:wipe_intentionally_left_blank_rfork",
    "fruit:zero_file_id",
    "readdir_attr:aapl_finder_info",
    "readdir_attr:aapl_max_access",
    "readdir_attr:aapl_rsize",
    "recycle:exclude",
    "recycle:exclude_dir",
    "recycle:minsize",
    "recycle:noversions",
];

/// Options that run commands, or take options from elsewhere.
const RUNNING: &[&str] = &[
    "copy",
    "config backend",
    "config file",
    "dfree command",
    "exec",
    "get quota command",
    "include",
    "lppause command",
    "lpq command",
    "lpresume command",
    "lprm command",
    "magic output",
    "magic script",
    "postexec",
    "preexec",
    "preexec close",
    "print command",
    "queuepause command",
    "queueresume command",
    "registry shares",
    "root postexec",
    "root preexec",
    "root preexec close",
    "set quota command",
];

/// Longest value, in bytes.
const MAX_VALUE: usize = 500;

/// One option, as `strict sync = no`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RawOption {
    name: String,
    value: String,
}

/// As Samba compares names: neither case nor blanks matter (`strwicmp`), so neither may get past a list.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect()
}

impl RawOption {
    /// Reads `NAME = VALUE`.
    ///
    /// # Errors
    /// [`Invalid`] when it is not one line, or not an option that may be given so.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = |rule: &str| Err(Invalid::new("raw option", text, rule));
        if text.chars().any(char::is_control) {
            return bad("must be one line");
        }
        if text.trim_start().starts_with(['[', '#', ';']) {
            return bad("must be an option: it can neither start a section nor be a comment");
        }
        let Some((name, value)) = text.split_once('=') else {
            return bad("must be NAME = VALUE");
        };
        let (name, value) = (plain(name), value.trim());
        let among = |list: &'static [&'static str]| list.iter().copied().find(|known| plain(known) == name);
        if among(RUNNING).is_some() {
            return bad("runs a command or reads another file: it is never taken");
        }
        let Some(name) = among(SHARE_OPTIONS).or_else(|| among(MODULE_OPTIONS)) else {
            return bad(
                "is not among the raw options of a share: it is global, unknown, has an option of its own here, or \
                 decides who may do what",
            );
        };
        if value.is_empty() || value.len() > MAX_VALUE {
            return bad("needs a value of at most 500 bytes");
        }
        // a backslash at the end takes the next line along
        if value.ends_with('\\') {
            return bad("must not end with a backslash");
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }

    /// Its name, as smb.conf(5) writes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its value.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether both are about the same thing.
    pub fn same_name(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl std::fmt::Display for RawOption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{} = {}", self.name, self.value))
    }
}

text_newtype!(RawOption);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_taken() {
        for (text, same) in [
            ("strict sync = no", "strict sync = no"),
            ("  VetoFiles=/*.tmp/  ", "veto files = /*.tmp/"),
            ("fruit:posix_rename = no", "fruit:posix_rename = no"),
        ] {
            assert_eq!(RawOption::parse(text).unwrap().to_string(), same);
        }
    }

    #[test]
    fn what_is_refused() {
        for (bad, word) in [
            ("[evil]", "section"),
            (" [evil] = x", "section"),
            ("strict sync = no\n[evil]", "one line"),
            ("strict sync = no\r\tpath = /", "one line"),
            ("# x = y", "comment"),
            ("strict sync", "NAME = VALUE"),
            ("strict sync =", "value"),
            ("volume = x\\", "backslash"),
            ("include = /etc/passwd", "runs a command"),
            ("root preexec = /bin/sh", "runs a command"),
            ("RootPreexec = /bin/sh", "runs a command"),
            ("r oot\u{a0}preexec = x", "runs a command"),
            ("exec = x", "runs a command"),
            ("magic script = x", "runs a command"),
            ("dfree command = x", "runs a command"),
            ("workgroup = X", "not among"),
            ("server signing = no", "not among"),
            ("server smb encrypt = off", "not among"),
            ("smb encrypt = off", "not among"),
            ("path = /", "not among"),
            ("vfs objects = x", "not among"),
            ("force user = root", "not among"),
            ("guest ok = yes", "not among"),
            ("public = yes", "not among"),
            ("wide links = yes", "not among"),
            ("worm:grace_period = 0", "not among"),
            ("recycle:repository = ../x", "not among"),
            ("colour = red", "not among"),
            ("= x", "not among"),
        ] {
            let text = RawOption::parse(bad).unwrap_err().to_string();
            assert!(text.contains(word), "{bad}: {text}");
        }
    }

    #[test]
    fn no_option_is_in_two_lists() {
        let taken: Vec<_> = SHARE_OPTIONS.iter().chain(MODULE_OPTIONS).map(|name| plain(name)).collect();
        assert!(RUNNING.iter().all(|name| !taken.contains(&plain(name))));
    }

    proptest! {
        /// Whatever it is: one line, of a name that is known, and reads back.
        #[test]
        fn an_option_is_one_known_line(text in "\\PC{0,20}(strict sync|veto files| root  preexec |volume)? ?=\\PC{0,40}") {
            if let Ok(option) = RawOption::parse(&text) {
                let line = option.to_string();
                prop_assert!(!line.contains(char::is_control) && !line.ends_with('\\') && !line.starts_with('['));
                prop_assert!(SHARE_OPTIONS.contains(&option.name()) || MODULE_OPTIONS.contains(&option.name()));
                prop_assert_eq!(RawOption::parse(&line).unwrap(), option);
            }
        }
    }
}
