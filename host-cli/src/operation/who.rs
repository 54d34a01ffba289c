//! Who asks: the login name behind the process, also behind sudo.

/// The person, as `alice (uid 0 by sudo)`; for the audit trail.
pub fn asks() -> String {
    let uid = rustix::process::getuid().as_raw();
    // loginuid(proc(5)): the account that logged in, whatever it became later; 4294967295 when nobody did
    let login =
        std::fs::read_to_string("/proc/self/loginuid").ok().and_then(|text| text.trim().parse::<u32>().ok());
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = |uid: u32| name_of(&passwd, uid).unwrap_or_else(|| format!("uid {uid}"));
    match login {
        Some(login) if login != u32::MAX && login != uid => format!("{} (as {})", name(login), name(uid)),
        _ => name(uid),
    }
}

/// Name of a uid in the text of /etc/passwd (passwd(5)).
fn name_of(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse::<u32>().ok()? == uid).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nbad line\nalice:x:1000:1000::/:/bin/sh\n";
        assert_eq!(name_of(passwd, 1000).as_deref(), Some("alice"));
        assert_eq!(name_of(passwd, 7), None);
    }
}
