//! Paths on the node.

use serde::{Deserialize, Serialize};

use crate::{Invalid, text_newtype};

/// An absolute path on the node without `.`, `..`, doubled slashes or control characters. That it exists, is a
/// directory and has no symbolic link in it is checked where the node is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPath(String);

/// Directories whose export would hand out the node itself.
const FORBIDDEN: &[&str] = &[
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var",
    "/var/lib",
    "/var/lib/pve-smbgateway",
    "/var/log",
];
/// Whole trees that are never exported.
const FORBIDDEN_TREES: &[&str] =
    &["/boot/", "/dev/", "/etc/", "/proc/", "/sys/", "/run/", "/usr/", "/root/", "/var/lib/pve-smbgateway/"];

impl HostPath {
    /// Checks a path; one slash at its end is dropped.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = |rule: &str| Err(Invalid::new("path", text, rule));
        if !text.starts_with('/') {
            return bad("must be absolute");
        }
        if text.len() > 1024 {
            return bad("is longer than 1024 bytes");
        }
        if text.chars().any(char::is_control) {
            return bad("must not contain control characters");
        }
        let path = if text.len() > 1 { text.strip_suffix('/').unwrap_or(text) } else { text };
        if path.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")) && path != "/" {
            return bad("must not contain '.', '..' or '//'");
        }
        if FORBIDDEN.contains(&path) || FORBIDDEN_TREES.iter().any(|tree| path.starts_with(tree)) {
            return bad("belongs to the system and is never shared");
        }
        Ok(Self(path.to_owned()))
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<std::path::Path> for HostPath {
    fn as_ref(&self) -> &std::path::Path {
        std::path::Path::new(&self.0)
    }
}

impl std::fmt::Display for HostPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

text_newtype!(HostPath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for good in ["/srv/team", "/tank/a b", "/mnt/x.y/z", "/srv/team/"] {
            assert!(HostPath::parse(good).is_ok(), "{good}");
        }
        assert_eq!(HostPath::parse("/srv/team/").unwrap().as_str(), "/srv/team");
        for bad in [
            "",
            "srv",
            "/",
            "//",
            "/srv//x",
            "/srv/../etc",
            "/srv/.",
            "/etc",
            "/etc/samba",
            "/dev/sda",
            "/a\nb",
        ] {
            assert!(HostPath::parse(bad).is_err(), "{bad}");
        }
    }
}
