//! Which `preinst` scripts do nothing on a first installation, seen from their text. All others are run.

/// Calls of dpkg-maintscript-helper: in a `preinst` each acts only when there was an older version.
/// Source: dpkg-maintscript-helper(1), and its source: every one of them looks at `-n "$2"` first.
const HELPERS: &[&str] = &["rm_conffile", "mv_conffile", "symlink_to_dir", "dir_to_symlink"];
/// What debhelper writes before a block for packages that come back after a removal.
const AFTER_REMOVAL: &str = "if [ \"$1\" = \"install\" ] && [ -n \"$2\" ]";

/// Whether nothing would happen: there are only comments, settings of the shell, calls of helpers, and blocks for a package
/// that was there before.
pub(super) fn is_idle(script: &str) -> bool {
    let mut lines = script.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let idle = line.is_empty()
            || line.starts_with('#')
            || matches!(line, "set -e" | "exit 0")
            || is_helper(line);
        if line.starts_with(AFTER_REMOVAL) {
            // the block is idle whatever is in it, as long as it is plain where it ends
            let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != "fi").collect();
            if inside
                .iter()
                .any(|line| line.starts_with("if ") || line.starts_with("else") || line.starts_with("elif"))
            {
                return false;
            }
        } else if !idle {
            return false;
        }
    }
    true
}

/// One call and nothing else on its line.
fn is_helper(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let helper = words.next() == Some("dpkg-maintscript-helper")
        && words.next().is_some_and(|word| HELPERS.contains(&word));
    helper && line.ends_with("-- \"$@\"") && !line.contains([';', '|', '`', '&']) && !line.contains("$(")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_for_upgrades_are_idle() {
        let samba = r#"#!/bin/sh
set -e
# Automatically added by dh_installdeb/13.24.2
dpkg-maintscript-helper rm_conffile /etc/cron.daily/samba 2:4.19.3\+dfsg-3\~ -- "$@"
if [ "$1" = "install" ] && [ -n "$2" ] && [ -e "/etc/init.d/smbd" ] ; then
	chmod +x "/etc/init.d/smbd" >/dev/null || true
fi
exit 0
"#;
        assert!(is_idle(samba));
        assert!(is_idle("#!/bin/sh\nset -e\n"));
    }

    #[test]
    fn whatever_else_is_there_is_run() {
        for line in [
            "touch /x",
            "dpkg-divert --add /x",
            "dpkg-maintscript-helper rm_conffile /x 1 -- \"$@\"; touch /x",
            "dpkg-maintscript-helper rm_conffile $(touch /x) 1 -- \"$@\"",
            "dpkg-maintscript-helper supports rm_conffile",
            "if [ \"$1\" = install ]; then touch /x; fi",
            "if [ \"$1\" = \"install\" ] && [ -n \"$2\" ]; then\nx\nelse\ntouch /x\nfi",
        ] {
            assert!(!is_idle(&format!("#!/bin/sh\n{line}\n")), "{line}");
        }
    }
}
