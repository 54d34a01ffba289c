//! What tells a guest of ours from others: a tag, and a line in its description. Only a guest with both is ever removed. Pure.

use smbgw_api::GatewayName;

use super::guest::GuestConfig;

/// Tag of all our guests.
pub const TAG: &str = "smbgateway";
/// What the line begins with.
const LINE: &str = "pve-smbgateway: ";
/// What it says of the guest that virtual machines are cloned from.
const TEMPLATE: &str = "template ";

/// Description of a gateway's guest.
pub fn of_gateway(name: &GatewayName) -> String {
    format!("{LINE}{name}\nWindows shares of this node. Change it with `pve-smbgateway`, not here.")
}

/// Description of the guest that virtual machines are cloned from.
pub fn of_template(name: &str) -> String {
    format!(
        "{LINE}{TEMPLATE}{name}\nGateways are cloned from it. Remove it with `pve-smbgateway template prune`."
    )
}

/// What a guest is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// Ours, by tag and description.
    Ours,
    /// A task makes it, and has not written its description yet: it may be anybody's.
    Unborn,
    /// Somebody else's.
    Foreign,
}

/// Whose this guest is.
pub fn ownership(config: &GuestConfig, description: &str) -> Ownership {
    let wanted = description.lines().next();
    if config.has_tag(TAG) && config.description.lines().any(|line| Some(line.trim()) == wanted) {
        return Ownership::Ours;
    }
    match config.lock() {
        Some("create" | "clone") if !config.description.contains(LINE) && config.get("rootfs").is_none() => {
            Ownership::Unborn
        }
        // a clone has our description from its beginning on, and its template's tags at its end
        Some("clone") if config.description.lines().any(|line| Some(line.trim()) == wanted) => {
            Ownership::Ours
        }
        _ => Ownership::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_marks_are_needed() {
        let team = of_gateway(&GatewayName::parse("team").unwrap());
        for (text, whose) in [
            ("#pve-smbgateway%3A team\ntags: smbgateway\n", Ownership::Ours),
            ("#note\n#pve-smbgateway%3A team\ntags: x;smbgateway\nlock: create\n", Ownership::Ours),
            ("#pve-smbgateway%3A team\n", Ownership::Foreign),
            ("#pve-smbgateway%3A teams\ntags: smbgateway\n", Ownership::Foreign),
            ("tags: smbgateway\n", Ownership::Foreign),
            ("hostname: x\nrootfs: a:1\nlock: backup\n", Ownership::Foreign),
            ("lock: create\n", Ownership::Unborn),
            ("# qmclone temporary file\nlock: clone\n", Ownership::Unborn),
            ("#pve-smbgateway%3A team\nlock: clone\n", Ownership::Ours),
        ] {
            assert_eq!(ownership(&GuestConfig::parse(text), &team), whose, "{text}");
        }
    }
}
