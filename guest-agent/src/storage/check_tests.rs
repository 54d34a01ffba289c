//! Tests of the conditions of shares.

use std::sync::Arc;

use smbgw_command::Recorder;

use super::*;
use crate::paths::Paths;
use crate::services::fake::Fake;

const STATE: &str = r#"{"name":"team","security":"standard","users":[],"disk":{"format":false},"shares":[
    {"name":"a","comment":null,"read_only":false,"users":[],"browseable":true},
    {"name":"b","comment":null,"read_only":false,"users":[],"browseable":true,"storage":{"virtio_fs":{"tag":"smbgw-1"}}},
    {"name":"c","comment":null,"read_only":false,"users":[],"browseable":true,"storage":{"disk":{"folder":"c"}}}]}"#;

fn problems(mounts: &str) -> Vec<String> {
    let root = tempfile::tempdir().unwrap();
    for directory in ["proc/self", "srv/smb/a", "srv/smb/b", "srv/smb/c"] {
        std::fs::create_dir_all(root.path().join(directory)).unwrap();
    }
    std::fs::write(root.path().join("proc/self/mountinfo"), mounts).unwrap();
    let services = Box::new(Arc::new(Fake::new("active")));
    let agent = Agent::new(
        Paths::below(root.path()),
        Box::new(Recorder::new()),
        services,
        crate::instance::Instance::at(1),
    );
    let desired = serde_json::from_str(STATE).unwrap();
    shares(&agent, &desired).unwrap().into_iter().map(|state| state.problem.unwrap_or_default()).collect()
}

const DISK: &str = "1 1 254:16 / /var/lib/smbgw/disk rw - ext4 /dev/vdb rw\n";

#[test]
fn right_mounts_are_no_problem() {
    let mounts =
        "2 1 0:50 / /srv/smb/b rw - virtiofs smbgw-1 rw\n3 1 254:16 /c /srv/smb/c rw - ext4 /dev/vdb rw\n";
    assert_eq!(problems(&format!("{DISK}{mounts}")), ["", "", ""]);
}

#[test]
fn wrong_ones_are() {
    let found = problems("");
    assert_eq!(found[0], "");
    assert_eq!(found[1], "share b: its storage is not mounted (virtio-fs smbgw-1 at /srv/smb/b)");
    assert_eq!(found[2], "share c: the gateway's disk with its folder c is not mounted");
    let mounts = "2 1 0:50 / /srv/smb/b rw - tmpfs x rw\n3 1 254:16 /c /srv/smb/c rw - ext4 /dev/vdb ro\n";
    let found = problems(&format!("{DISK}{mounts}"));
    assert!(found[1].contains("something else") && found[2].contains("read-only"), "{found:?}");
}
