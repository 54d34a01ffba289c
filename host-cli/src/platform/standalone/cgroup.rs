//! cgroup2 on the node: which controllers there are, and what a hard stop leaves.

use std::path::{Path, PathBuf};

use super::config::Abilities;

const ROOT: &str = "/sys/fs/cgroup";

/// What the node can limit.
pub fn abilities() -> Abilities {
    let controllers = std::fs::read_to_string(format!("{ROOT}/cgroup.controllers")).unwrap_or_default();
    let has = |name: &str| controllers.split_whitespace().any(|c| c == name);
    let apparmor = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").unwrap_or_default();
    Abilities { memory: has("memory"), cpu: has("cpu"), apparmor: apparmor.trim() == "Y" }
}

/// Whether a pure cgroup2 hierarchy is mounted; LXC on hybrid hierarchies lets a container into the node's own v1
/// groups.
pub fn is_unified() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

/// Groups that LXC makes for a container.
fn groups(container: &str) -> [PathBuf; 2] {
    [format!("lxc.payload.{container}"), format!("lxc.monitor.{container}")]
        .map(|name| Path::new(ROOT).join(name))
}

/// The group that holds a container's processes.
pub fn payload(container: &str) -> PathBuf {
    groups(container)[0].clone()
}

/// Removes the empty groups that a killed container leaves, innermost first. Groups with processes stay.
pub fn remove_leftovers(container: &str) {
    for group in groups(container) {
        remove_empty(&group);
    }
}

fn remove_empty(group: &Path) {
    let Ok(entries) = std::fs::read_dir(group) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(group);
}
