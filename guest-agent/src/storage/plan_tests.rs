//! Tests of the planner of storage.

use super::*;
use crate::storage::folder::Access;
use crate::storage::mountinfo::Entry;

fn desired(shares: &[&str], disk: Option<bool>) -> DesiredState {
    let share = |(index, storage): (usize, &&str)| {
        format!(
            r#"{{"name":"s{index}","comment":null,"read_only":false,"users":[],"browseable":true,"storage":{storage}}}"#
        )
    };
    let shares: Vec<String> = shares.iter().enumerate().map(share).collect();
    let disk = disk.map(|format| format!(r#","disk":{{"format":{format}}}"#)).unwrap_or_default();
    serde_json::from_str(&format!(
        r#"{{"name":"team","security":"standard","users":[{{"name":"alice","uid":10000}}],"shares":[{}]{disk}}}"#,
        shares.join(",")
    ))
    .unwrap()
}

const TAG: &str = r#"{"virtio_fs":{"tag":"smbgw-1"}}"#;
const FOLDER: &str = r#"{"disk":{"folder":"team"}}"#;

fn with_disk(content: Content) -> Observed {
    let device = Device {
        node: "/dev/vdb".into(),
        what: "/dev/disk/by-id/virtio-smbgw-data".into(),
        number: "254:16".into(),
        bytes: 1 << 30,
    };
    let filesystem_bytes = matches!(content, Content::FileSystem(_)).then_some(1 << 30);
    Observed {
        disk: Some(Ok(Disk { device, content, filesystem_bytes, folders: None })),
        ..Default::default()
    }
}

/// A gateway in which the plan was carried out.
fn carried_out(changes: &Changes, mut observed: Observed) -> Observed {
    for mounting in &changes.mounts {
        let mount = &mounting.mount;
        observed.units.insert(mount.unit(), Unit { text: mount.render(), enabled: true });
        let (device, root, kind, source) = match &mount.source {
            crate::storage::mount::Source::Disk { number, .. } => {
                (number.clone(), "/".to_owned(), "ext4", "/dev/vdb")
            }
            crate::storage::mount::Source::Folder { number, folder } => {
                (number.clone(), format!("/{folder}"), "ext4", "/dev/vdb")
            }
            crate::storage::mount::Source::VirtioFs { tag } => {
                ("0:5".to_owned(), "/".to_owned(), "virtiofs", tag.as_str())
            }
        };
        let (kind, source) = (kind.to_owned(), source.to_owned());
        observed.mounts.push(Entry { device, root, at: mount.at.clone(), kind, source, read_only: false });
    }
    if let Some(Ok(disk)) = &mut observed.disk {
        disk.content = Content::FileSystem(FileSystem::Ext4);
        let seen = changes
            .folders
            .iter()
            .map(|f| (f.folder.clone(), Access { named: f.users.clone(), is_windows: false }));
        disk.folders = Some(seen.collect());
    }
    observed
}

#[test]
fn a_container_has_nothing_to_do() {
    let state = desired(&[r#""mounted""#], None);
    assert_eq!(plan(&state, &Observed::default()), Changes::default());
}

#[test]
fn an_empty_disk_is_formatted_only_when_asked_for() {
    let state = desired(&[FOLDER, TAG], Some(true));
    let changes = plan(&state, &with_disk(Content::Blank));
    assert!(changes.format.is_some() && changes.problem.is_none());
    let at: Vec<&str> = changes.mounts.iter().map(|m| m.mount.at.as_str()).collect();
    assert_eq!(at, [DISK_PATH, "/srv/smb/s0", "/srv/smb/s1"]);
    assert_eq!(plan(&state, &carried_out(&changes, with_disk(Content::Blank))), Changes::default());

    let state = desired(&[FOLDER, TAG], Some(false));
    for content in [Content::Blank, Content::HalfMade] {
        let changes = plan(&state, &with_disk(content));
        assert!(changes.problem.unwrap().hint.unwrap().contains("--format"));
        assert!(changes.format.is_none() && changes.folders.is_empty());
        assert_eq!(changes.mounts.len(), 1, "the other share is none of the disk's business");
    }
}

#[test]
fn what_is_not_empty_is_never_formatted() {
    for format in [true, false] {
        let state = desired(&[FOLDER], Some(format));
        for file_system in [FileSystem::Ext4, FileSystem::Xfs] {
            let changes = plan(&state, &with_disk(Content::FileSystem(file_system)));
            assert!(changes.format.is_none() && changes.problem.is_none() && changes.mounts.len() == 2);
        }
        let changes = plan(&state, &with_disk(Content::Other("a partition table (gpt)".into())));
        let problem = changes.problem.unwrap();
        assert!(changes.format.is_none() && problem.message.contains("gpt") && problem.hint.is_some());
    }
}

#[test]
fn a_missing_disk_takes_no_mount_away() {
    let state = desired(&[FOLDER], Some(false));
    let there = with_disk(Content::FileSystem(FileSystem::Ext4));
    let mut observed = carried_out(&plan(&state, &there), there);
    observed.disk = Some(Err(storage("it is not there")));
    let changes = plan(&state, &observed);
    assert!(changes.problem.is_some() && changes.remove.is_empty() && changes.mounts.is_empty());
}

#[test]
fn changed_and_gone() {
    let old = desired(&[FOLDER, TAG], Some(false));
    let there = with_disk(Content::FileSystem(FileSystem::Ext4));
    let observed = carried_out(&plan(&old, &there), there);
    let moved =
        desired(&[r#"{"disk":{"folder":"other"}}"#, r#"{"virtio_fs":{"tag":"smbgw-2"}}"#], Some(false));
    let changes = plan(&moved, &observed);
    assert!(
        changes.mounts.iter().all(|m| m.now == Now::Wrong && m.before.is_some()) && changes.mounts.len() == 2
    );
    let gone = plan(&desired(&[r#""mounted""#], None), &Observed { disk: None, ..observed });
    let units: Vec<_> = gone.remove.iter().map(|r| (r.unit.as_str(), r.directory.as_deref())).collect();
    assert_eq!(
        units,
        [
            // the platform's now: its directory stays
            ("srv-smb-s0.mount", None),
            ("srv-smb-s1.mount", Some("/srv/smb/s1")),
            ("var-lib-smbgw-disk.mount", Some(DISK_PATH)),
        ]
    );
}

#[test]
fn a_larger_disk_grows() {
    let state = desired(&[FOLDER], Some(false));
    let there = with_disk(Content::FileSystem(FileSystem::Ext4));
    let mut observed = carried_out(&plan(&state, &there), there);
    let Some(Ok(disk)) = &mut observed.disk else { panic!() };
    disk.device.bytes *= 2;
    let changes = plan(&state, &observed);
    assert!(changes.grow.is_some() && changes.mounts.is_empty());
}

#[test]
fn users_are_let_in_only_when_asked_for_and_lacking() {
    let mut state = desired(&[FOLDER], Some(false));
    let there = with_disk(Content::FileSystem(FileSystem::Ext4));
    let observed = carried_out(&plan(&state, &there), there);
    let with = |access: Access| {
        let mut observed = observed.clone();
        let Some(Ok(disk)) = &mut observed.disk else { panic!() };
        disk.folders = Some([(FolderPath::parse("team").unwrap(), access)].into());
        observed
    };
    let nobody = with(Access::default());
    assert!(plan(&state, &nobody).folders.is_empty());
    state.shares[0].grant = true;
    assert_eq!(plan(&state, &nobody).folders[0].grant, BTreeSet::from([Who::User(10_000)]));
    assert!(plan(&state, &with(Access { named: BTreeSet::new(), is_windows: true })).folders.is_empty());
    assert!(plan(&state, &observed).folders.is_empty());
}

#[test]
fn rules() {
    for bad in [
        r#"{"virtio_fs":{"tag":""}}"#,
        r#"{"virtio_fs":{"tag":"a b"}}"#,
        r#"{"virtio_fs":{"tag":"a%n"}}"#,
        "{\"disk\":{\"folder\":\"a\u{a0}\"}}",
    ] {
        assert!(check(&desired(&[bad], Some(true))).is_err(), "{bad}");
    }
    assert!(check(&desired(&[FOLDER], None)).is_err());
    let mut long = desired(&[TAG], None);
    long.shares[0].name = smbgw_api::ShareName::parse(&"ж".repeat(40)).unwrap();
    assert!(check(&long).unwrap_err().message.contains("too long"));
    long.shares[0].storage = Storage::Mounted;
    assert!(check(&long).is_ok());
}
