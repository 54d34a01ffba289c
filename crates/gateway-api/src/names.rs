//! Names. Each is checked when it is made, so that none needs escaping where it is used.

use serde::{Deserialize, Serialize};

use crate::{Invalid, text_newtype};

/// Name of a gateway: also its host name and NetBIOS name, hence at most 15 characters (MS-NBTE), a DNS label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GatewayName(String);

/// Name of a share as clients see it (MS-SRVS 2.2.4: at most 80 characters). Also its directory below `/srv/smb`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ShareName(String);

/// Name of a local user of a gateway (useradd(8): lower case, at most 32 characters).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

/// Name of an installed template, as `debian-13` (its newest version) or `debian-13_0.1.0`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TemplateName(String);

impl GatewayName {
    /// Checks a gateway name.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = |rule: &str| Err(Invalid::new("gateway name", text, rule));
        if text.is_empty() || text.len() > 15 {
            return bad("must have 1 to 15 characters (it is the NetBIOS name, too)");
        }
        if !text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
            return bad("only a-z, 0-9 and '-' are allowed");
        }
        if !text.starts_with(|c: char| c.is_ascii_lowercase()) || text.ends_with('-') {
            return bad("must start with a letter and not end with '-'");
        }
        if ["localhost", "global", "all"].contains(&text) {
            return bad("is reserved");
        }
        // YAML 1.1, which cloud-init and Proxmox VE read, takes these for something else than text
        if ["on", "off", "yes", "no", "true", "false", "null"].contains(&text) {
            return bad("has a meaning of its own in YAML");
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Characters that Windows or smb.conf(5) refuse in a share name, besides control characters.
const SHARE_FORBIDDEN: &str = "%<>*?|/\\+=;:\",[]$'`#@&";

impl ShareName {
    /// Checks a share name.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = |rule: &str| Err(Invalid::new("share name", text, rule));
        if text.is_empty() || text.chars().count() > 80 || text.len() > 200 {
            return bad("must have 1 to 80 characters");
        }
        if text.chars().any(|c| c.is_control() || SHARE_FORBIDDEN.contains(c)) {
            return bad(&format!("must not contain control characters or any of {SHARE_FORBIDDEN}"));
        }
        if text.starts_with(['.', ' ', '-']) || text.ends_with([' ', '.']) {
            return bad("must not start with '.', '-' or a space, nor end with '.' or a space");
        }
        if ["global", "homes", "printers", "print$", "ipc$", "admin$"].contains(&text.to_lowercase().as_str())
        {
            return bad("has a special meaning in Samba");
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both are the same share for a client: SMB compares names without case.
    pub fn same(&self, other: &Self) -> bool {
        self.0.to_lowercase() == other.0.to_lowercase()
    }

    /// Where the share's directory is inside the gateway.
    pub fn guest_path(&self) -> String {
        format!("/srv/smb/{}", self.0)
    }
}

impl UserName {
    /// Checks a user name.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = |rule: &str| Err(Invalid::new("user name", text, rule));
        if text.is_empty() || text.len() > 32 {
            return bad("must have 1 to 32 characters");
        }
        if !text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') {
            return bad("must start with a lower-case letter or '_'");
        }
        if !text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c)) {
            return bad("only a-z, 0-9, '_', '-' and '.' are allowed");
        }
        if RESERVED_USERS.contains(&text) {
            return bad("belongs to the system");
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Accounts of Debian's base system (base-passwd, systemd, dbus): never users of a share.
const RESERVED_USERS: &[&str] = &[
    "root",
    "daemon",
    "bin",
    "sys",
    "sync",
    "games",
    "man",
    "lp",
    "mail",
    "news",
    "uucp",
    "proxy",
    "www-data",
    "backup",
    "list",
    "irc",
    "gnats",
    "_apt",
    "nobody",
    "messagebus",
    "systemd-network",
    "systemd-timesync",
    "systemd-resolve",
    "uuidd",
    "_rpc",
    "statd",
    "sshd",
    "guest",
];

impl TemplateName {
    /// Checks a template name.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = |rule: &str| Err(Invalid::new("template name", text, rule));
        if text.is_empty() || text.len() > 100 {
            return bad("must have 1 to 100 characters");
        }
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+~".contains(c))
            || text.starts_with(['.', '-'])
        {
            return bad(
                "only letters, digits, '-', '_', '.', '+' and '~' are allowed, and no '.' or '-' first",
            );
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! display {
    ($($type:ident),*) => { $(
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }
        text_newtype!($type);
    )* };
}
display!(GatewayName, ShareName, UserName, TemplateName);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gateway_names() {
        for good in ["a", "team", "files-2", "abcdefghijklmno"] {
            assert!(GatewayName::parse(good).is_ok(), "{good}");
        }
        for bad in
            ["", "Team", "-a", "a-", "9lives", "abcdefghijklmnop", "a b", "a/b", "a.b", "localhost", "ä"]
        {
            assert!(GatewayName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn share_names() {
        for good in ["team", "Büro Daten", "2026", "R&D".replace('&', "and").as_str(), "a.b"] {
            assert!(ShareName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a]b", "homes", "GLOBAL", "a\nb", "x$", " a", "a ", &"x".repeat(81)]
        {
            assert!(ShareName::parse(bad).is_err(), "{bad}");
        }
        let (a, b) = (ShareName::parse("Team").unwrap(), ShareName::parse("team").unwrap());
        assert!(a.same(&b));
    }

    #[test]
    fn user_names() {
        assert!(UserName::parse("alice").is_ok());
        for bad in ["root", "Alice", "a:b", "-x", "nobody", ""] {
            assert!(UserName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn serde_refuses_what_parse_refuses() {
        assert!(serde_json::from_str::<ShareName>("\"a/b\"").is_err());
        assert_eq!(serde_json::to_string(&ShareName::parse("x").unwrap()).unwrap(), "\"x\"");
    }

    proptest! {
        #[test]
        fn accepted_names_are_single_safe_path_components(text in "\\PC{0,90}") {
            if let Ok(name) = ShareName::parse(&text) {
                prop_assert!(!name.as_str().contains('/') && name.as_str() != "." && name.as_str() != "..");
                prop_assert!(!name.as_str().contains([']', '\n', '"', '\\', '%']));
            }
            if let Ok(name) = GatewayName::parse(&text) {
                prop_assert!(name.as_str().is_ascii() && name.as_str().len() <= 15);
            }
        }
    }
}
