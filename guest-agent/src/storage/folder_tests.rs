//! Folders for real, with setfacl and getfacl, in a directory that stands for the disk.

use std::os::unix::fs::symlink;

use smbgw_command::System;

use super::*;

fn users(uids: &[u32]) -> BTreeSet<Who> {
    uids.iter().copied().map(Who::User).collect()
}

fn folder(text: &str) -> FolderPath {
    FolderPath::parse(text).unwrap()
}

fn acl(top: &Path, path: &str) -> Acl {
    read_acl(&System::new(), &open(top, &folder(path)).unwrap().unwrap(), &folder(path)).unwrap()
}

#[test]
fn made_whole_for_its_users_only() {
    let top = tempfile::tempdir().unwrap();
    let (top, runner) = (top.path(), System::new());
    assert_eq!(look(&runner, top, &folder("a")).unwrap(), None);
    assert_eq!(make(&runner, top, &folder("a"), &users(&[10_000])).unwrap(), [folder("a")]);
    assert_eq!(acl(top, "a"), Acl::of(&users(&[10_000])));
    // an inner one does not inherit
    assert_eq!(
        make(&runner, top, &folder("a/b/c"), &users(&[10_001])).unwrap(),
        [folder("a/b"), folder("a/b/c")]
    );
    assert_eq!(acl(top, "a/b/c").named(), users(&[10_001]));
    assert_eq!(acl(top, "a/b").named(), users(&[]));
    assert!(make(&runner, top, &folder("a/b/c"), &users(&[10_002])).unwrap().is_empty());
    assert_eq!(acl(top, "a/b/c").named(), users(&[10_001]));
}

#[test]
fn an_end_in_the_middle_is_no_matter() {
    let top = tempfile::tempdir().unwrap();
    std::fs::create_dir(top.path().join(UNFINISHED)).unwrap();
    make(&System::new(), top.path(), &folder("a"), &users(&[10_000])).unwrap();
    let names: Vec<_> = std::fs::read_dir(top.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["a"]);
}

#[test]
fn links_are_not_followed() {
    let top = tempfile::tempdir().unwrap();
    std::fs::create_dir(top.path().join("real")).unwrap();
    symlink("real", top.path().join("link")).unwrap();
    symlink("/etc", top.path().join("real/out")).unwrap();
    for path in ["link", "link/x", "real/out", "real/out/x"] {
        let error = make(&System::new(), top.path(), &folder(path), &users(&[])).unwrap_err();
        assert!(error.message.contains("links are not followed"), "{error}");
        assert!(look(&System::new(), top.path(), &folder(path)).is_err());
    }
}

#[test]
fn a_grant_adds_what_is_missing_and_can_be_taken_back() {
    let top = tempfile::tempdir().unwrap();
    let (top, runner) = (top.path(), System::new());
    std::fs::create_dir(top.join("old")).unwrap();
    let before = acl(top, "old");
    let was = grant(&runner, top, &folder("old"), &users(&[10_000])).unwrap().unwrap();
    assert_eq!(was, before);
    assert_eq!(acl(top, "old").named(), users(&[10_000]));
    assert!(acl(top, "old").has_default());
    assert_eq!(grant(&runner, top, &folder("old"), &users(&[10_000])).unwrap(), None);
    restore(&runner, top, &folder("old"), &was).unwrap();
    assert_eq!(acl(top, "old"), before);
}

#[test]
fn what_windows_has_set_is_left_alone() {
    let top = tempfile::tempdir().unwrap();
    let (top, runner) = (top.path(), System::new());
    make(&runner, top, &folder("a"), &users(&[10_000])).unwrap();
    let directory = open(top, &folder("a")).unwrap().unwrap();
    match rustix::fs::fsetxattr(&directory, NT_ACL, b"x", rustix::fs::XattrFlags::empty()) {
        // a tmpfs of an old kernel
        Err(Errno::NOTSUP) => return,
        other => other.unwrap(),
    }
    assert_eq!(grant(&runner, top, &folder("a"), &users(&[10_001])).unwrap(), None);
    assert_eq!(acl(top, "a").named(), users(&[10_000]));
}

#[test]
fn unmade_only_when_empty() {
    let top = tempfile::tempdir().unwrap();
    let (top, runner) = (top.path(), System::new());
    make(&runner, top, &folder("a/b"), &users(&[])).unwrap();
    unmake(top, &folder("a")).unwrap();
    assert!(top.join("a/b").is_dir());
    unmake(top, &folder("a/b")).unwrap();
    unmake(top, &folder("a/b")).unwrap();
    unmake(top, &folder("a")).unwrap();
    assert_eq!(std::fs::read_dir(top).unwrap().count(), 0);
}
