//! Applying storage: with real tools on a file that stands for the disk, and mounts that are lines of a file.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::storage::mountinfo;

const DISK: &str = "var-lib-smbgw-disk.mount";

/// A gateway in a virtual machine: no directories of shares, and a disk of 64 MiB.
fn machine() -> Gateway {
    let gateway = Gateway::new();
    let root = gateway.root.path();
    for share in ["x", "y"] {
        std::fs::remove_dir(root.join("srv/smb").join(share)).unwrap();
    }
    std::fs::create_dir_all(root.join("sys/block/vdb")).unwrap();
    for (file, text) in [("serial", "smbgw-data"), ("dev", "254:16\n"), ("size", "131072\n")] {
        std::fs::write(root.join("sys/block/vdb").join(file), text).unwrap();
    }
    std::fs::create_dir(root.join("dev")).unwrap();
    std::fs::File::create(root.join("dev/vdb")).unwrap().set_len(64 << 20).unwrap();
    gateway
}

/// A state with a share a storage, named x, y, z.
fn stored(users: &[&str], storages: &[&str], format: bool) -> DesiredState {
    let mut desired = state(users, &["x", "y", "z"][..storages.len()]);
    for (share, storage) in desired.shares.iter_mut().zip(storages) {
        share.storage = serde_json::from_str(storage).unwrap();
    }
    if storages.iter().any(|storage| storage.contains("folder")) {
        desired.disk = Some(smbgw_api::v1::DesiredDisk { format });
    }
    desired
}

const TAG: &str = r#"{"virtio_fs":{"tag":"smbgw-1"}}"#;
const FOLDER: &str = r#"{"disk":{"folder":"a/team"}}"#;

fn mounts(gateway: &Gateway) -> Vec<String> {
    let mounts = mountinfo::read(&gateway.well().paths).unwrap();
    let mut lines: Vec<_> = mounts.into_iter().map(|m| format!("{} {} {}", m.at, m.source, m.root)).collect();
    lines.sort();
    lines
}

fn exists(gateway: &Gateway, path: &str) -> bool {
    gateway.root.path().join(path).exists()
}

#[test]
fn a_disk_a_folder_and_a_tag() {
    let gateway = machine();
    let desired = stored(&["alice"], &[FOLDER, TAG], true);
    let applied = apply(&gateway.well(), &desired).unwrap();
    assert_eq!(
        mounts(&gateway),
        ["/srv/smb/x /dev/vdb /a/team", "/srv/smb/y smbgw-1 /", "/var/lib/smbgw/disk /dev/vdb /"]
    );
    assert!(applied.actions.iter().any(|action| action.contains("made an ext4 file system")), "{applied:?}");
    let mode =
        |path: &str| std::fs::metadata(gateway.root.path().join(path)).unwrap().permissions().mode() & 0o777;
    for point in ["srv/smb/x", "srv/smb/y", "var/lib/smbgw/disk"] {
        assert_eq!(mode(point), 0o700, "{point}");
    }
    let again = apply(&gateway.well(), &desired).unwrap();
    assert!(!again.changed, "{again:?}");
    // a second state goes on the file system that is there
    let more = stored(&["alice"], &[FOLDER, TAG, r#"{"disk":{"folder":"b"}}"#], true);
    let applied = apply(&gateway.well(), &more).unwrap();
    assert!(!applied.actions.iter().any(|action| action.contains("ext4")), "{applied:?}");
    assert_eq!(mounts(&gateway).len(), 4);
}

#[test]
fn what_is_gone_is_unmounted_and_what_changed_is_mounted_anew() {
    let gateway = machine();
    apply(&gateway.well(), &stored(&["alice"], &[FOLDER, TAG], true)).unwrap();
    let changed = stored(&["alice"], &[r#"{"virtio_fs":{"tag":"smbgw-2"}}"#], false);
    apply(&gateway.well(), &changed).unwrap();
    assert_eq!(mounts(&gateway), ["/srv/smb/x smbgw-2 /"]);
    assert!(exists(&gateway, "srv/smb/x") && !exists(&gateway, "srv/smb/y"));
    assert!(!exists(&gateway, &format!("etc/systemd/system/{DISK}")));
    // a folder with something in it (below the mount, in this tree) stays
    assert!(exists(&gateway, "var/lib/smbgw/disk/a/team"));
    apply(&gateway.well(), &state(&["alice"], &[])).unwrap();
    assert!(mounts(&gateway).is_empty() && !exists(&gateway, "srv/smb/x"));
}

#[test]
fn a_mount_that_fails_takes_nothing_with_it() {
    let gateway = machine();
    let old = stored(&["alice"], &[r#"{"disk":{"folder":"old"}}"#], true);
    apply(&gateway.well(), &old).unwrap();
    let (files, before) = (gateway.files(), mounts(&gateway));
    gateway.services.failing_units.lock().unwrap().push("srv-smb-y.mount".into());
    let new = stored(&["alice", "bob"], &[FOLDER, TAG], true);
    let error = apply(&gateway.well(), &new).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Storage);
    assert!(error.message.contains("smbgw-1") && error.message.contains("put back"), "{error}");
    assert_eq!((gateway.files(), mounts(&gateway)), (files, before));
    assert!(!exists(&gateway, "srv/smb/y") && !exists(&gateway, "var/lib/smbgw/disk/a"));
}

#[test]
fn an_smbd_that_does_not_come_up_gets_its_mounts_back() {
    let gateway = machine();
    apply(&gateway.well(), &stored(&["alice"], &[TAG], false)).unwrap();
    let (files, before) = (gateway.files(), mounts(&gateway));
    gateway.services.failing.lock().unwrap().push(Job::Reload);
    let new = stored(&["alice"], &[r#"{"virtio_fs":{"tag":"smbgw-2"}}"#, FOLDER], true);
    let error = apply(&gateway.well(), &new).unwrap_err();
    assert!(error.kind == ErrorKind::Samba && error.message.contains("put back"), "{error}");
    assert_eq!((gateway.files(), mounts(&gateway)), (files, before));
}

#[test]
fn at_boot_all_is_mounted_and_one_that_is_dead_keeps_nothing_else() {
    let gateway = machine();
    let desired = stored(&["alice"], &[FOLDER, TAG, r#"{"virtio_fs":{"tag":"smbgw-3"}}"#], true);
    apply(&gateway.well(), &desired).unwrap();
    let (files, before) = (gateway.files(), mounts(&gateway));
    let boot = || std::fs::write(gateway.root.path().join("proc/self/mountinfo"), "").unwrap();
    boot();
    recover(&gateway.well()).unwrap();
    assert_eq!((gateway.files(), mounts(&gateway)), (files, before));

    boot();
    *gateway.services.state.lock().unwrap() = "inactive".into();
    gateway.services.failing_units.lock().unwrap().push("srv-smb-y.mount".into());
    let error = recover(&gateway.well()).unwrap_err();
    assert!(error.message.contains("smbgw-1"), "{error}");
    assert_eq!(mounts(&gateway).len(), 3);
    assert_eq!(*gateway.services.state.lock().unwrap(), "active");

    boot();
    std::fs::remove_dir_all(gateway.root.path().join("sys")).unwrap();
    gateway.services.failing_units.lock().unwrap().clear();
    let error = recover(&gateway.well()).unwrap_err();
    assert!(error.message.contains("disk is not there"), "{error}");
    assert_eq!(mounts(&gateway), ["/srv/smb/y smbgw-1 /", "/srv/smb/z smbgw-3 /"]);
    assert!(exists(&gateway, "etc/systemd/system/srv-smb-x.mount"));
}

#[test]
fn a_disk_that_is_not_empty_is_refused_and_kept() {
    let gateway = machine();
    let node = gateway.root.path().join("dev/vdb");
    std::os::unix::fs::FileExt::write_all_at(
        &std::fs::File::options().write(true).open(&node).unwrap(),
        b"precious",
        4096,
    )
    .unwrap();
    let (files, content) = (gateway.files(), std::fs::read(&node).unwrap());
    let error = apply(&gateway.well(), &stored(&["alice"], &[FOLDER], true)).unwrap_err();
    assert!(error.kind == ErrorKind::Storage && error.message.contains("byte 4096"), "{error}");
    assert!(gateway.files() == files && std::fs::read(&node).unwrap() == content);
}

#[test]
fn a_kill_at_any_moment_is_repaired() {
    let old = stored(&["alice"], &[FOLDER, TAG], true);
    let new =
        stored(&["alice"], &[r#"{"virtio_fs":{"tag":"smbgw-2"}}"#, r#"{"disk":{"folder":"b"}}"#, TAG], true);
    for (old, new) in [(None, old.clone()), (Some(old), new)] {
        for at in 0..16 {
            let gateway = machine();
            old.iter().for_each(|old| drop(apply(&gateway.well(), old).unwrap()));
            let before = (gateway.files(), mounts(&gateway));
            gateway.services.kill_after.store(at, Ordering::SeqCst);
            let agent = gateway.well();
            let killed = catch_unwind(AssertUnwindSafe(|| apply(&agent, &new))).is_err();
            gateway.services.kill_after.store(-1, Ordering::SeqCst);
            recover(&gateway.well()).unwrap();
            let recorded = crate::state::load(&agent.paths).unwrap();
            if recorded == old {
                assert!(killed);
                assert_eq!((gateway.files(), mounts(&gateway)), before, "call {at}");
            } else {
                assert_eq!(recorded, Some(new.clone()));
            }
            apply(&gateway.well(), &new).unwrap();
            assert!(!apply(&gateway.well(), &new).unwrap().changed, "call {at}");
            assert_eq!(mounts(&gateway).len(), new.shares.len() + 1);
        }
    }
}

#[test]
fn a_failing_tool_leaves_the_old_storage_or_the_new() {
    let old = stored(&["alice"], &[TAG], false);
    let new = stored(&["alice", "bob"], &[TAG, FOLDER], true);
    for at in 0..16 {
        let gateway = machine();
        apply(&gateway.well(), &old).unwrap();
        let before = (gateway.files(), mounts(&gateway));
        let agent = gateway.agent(Trouble::Fails, at);
        if apply(&agent, &new).is_err() && crate::state::load(&agent.paths).unwrap() == Some(old.clone()) {
            assert_eq!((gateway.files(), mounts(&gateway)), before, "command {at}: {:?}", gateway.seen);
        }
        apply(&gateway.well(), &new).unwrap();
        assert_eq!(mounts(&gateway).len(), 3);
    }
}
