//! What each verb asks of Proxmox VE, on simulated nodes. A call costs about a second on a real one, almost all of it Perl
//! loading its modules, so their number is what a verb costs beyond its work.

use anyhow::Result;
use serde_json::json;
use smbgw_lab::{NodeLab, lab};

use super::Figures;
use crate::say;

/// Versions whose facts are known from the real programs.
const RELEASES: [&str; 2] = ["8.4", "9.2"];

pub(super) fn run(figures: &mut Figures) -> Result<()> {
    for release in RELEASES {
        say::step("proxmox", &format!("containers on Proxmox VE {release}: calls of each verb"));
        let node = NodeLab::enter(release)?;
        let args = node.create_arguments("team", "10.10.10.11/24")?;
        let more = node.data("more")?.display().to_string();
        verb(&node, figures, release, "lxc create", &args)?;
        for (name, line) in [
            ("lxc status", "status team".to_owned()),
            ("list", "list".to_owned()),
            ("lxc set (memory)", "set team --memory 256M".to_owned()),
            ("lxc share add", format!("share add team more --path {more} --grant")),
            ("lxc stop", "stop team".to_owned()),
            ("lxc start", "start team".to_owned()),
            ("lxc delete", "delete team".to_owned()),
        ] {
            let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
            verb(&node, figures, release, name, &args)?;
        }
        node.leave()?;
    }
    say::step("proxmox", "a virtual machine on Proxmox VE 9.2: calls of each verb");
    let node = NodeLab::enter_vm("9.2")?;
    let mut args = node.create_arguments("team", "10.10.10.11/24")?;
    args.extend(lab::SMALL_MACHINE.map(str::to_owned));
    verb(&node, figures, "9.2", "vm create", &args)?;
    for (name, line) in [
        ("vm status", "status team"),
        ("vm set (memory)", "set team --vm-memory 768M"),
        ("vm delete", "delete team"),
    ] {
        let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
        verb(&node, figures, "9.2", name, &args)?;
    }
    node.leave()
}

fn verb(node: &NodeLab, figures: &mut Figures, release: &str, name: &str, args: &[String]) -> Result<()> {
    node.node().forget_calls()?;
    node.host(args.iter().map(String::as_str))?.ok()?;
    let calls = node.calls()?;
    let key = format!("pve_{}_{}", release.replace('.', "_"), name.replace([' ', '(', ')'], "_"));
    let text = format!("{}: {}", calls.len(), calls.join(", "));
    figures.add(&key, &format!("PVE {release}: {name}"), text, json!(calls));
    Ok(())
}
