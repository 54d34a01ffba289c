//! Accounts and passwords. Source: shadow(5).

use super::{Check, Subject};

pub(super) const EMPTY_PASSWORD: Check = Check {
    name: "empty-password",
    why: "anyone could log in",
    run: |subject| {
        ["/etc/passwd", "/etc/shadow", "/etc/gshadow"]
            .iter()
            .flat_map(|path| accounts(subject, path))
            .filter(|(path, _, password)| password.is_empty() && *path != "/etc/gshadow")
            .map(|(path, name, _)| format!("{name} has an empty password in {path}"))
            .collect()
    },
};

pub(super) const PASSWORD_HASH: Check = Check {
    name: "password-hash",
    why: "every gateway would have the same password",
    run: |subject| {
        ["/etc/passwd", "/etc/shadow", "/etc/gshadow"]
            .iter()
            .flat_map(|path| accounts(subject, path))
            .filter(|(_, _, password)| !matches!(password.trim_start_matches('!'), "" | "*" | "x"))
            .map(|(path, name, _)| format!("{name} has a password in {path}"))
            .collect()
    },
};

/// File, account and password field of each line.
fn accounts<'a>(subject: &Subject<'a>, path: &'a str) -> Vec<(&'a str, &'a str, &'a str)> {
    let text = subject.tree.text(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            Some((path, fields.next()?, fields.next().unwrap_or_default()))
        })
        .collect()
}
