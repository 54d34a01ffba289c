use super::*;
use crate::manifest::{FORMAT, FileRecord, list_paths};
use crate::tree::{Entry, Tree};

fn package(name: &str, version: &str) -> PackageRecord {
    PackageRecord {
        name: name.into(),
        version: version.into(),
        architecture: "amd64".into(),
        source: name.into(),
        source_version: version.into(),
        sha256: crate::hash::of_bytes(version.as_bytes()),
    }
}

fn template(packages: Vec<PackageRecord>, tree: &Tree, owners: Option<&[(&str, &str)]>) -> Template {
    let files = list_paths(tree);
    let bytes = serde_json::to_string(&files).unwrap();
    let file = |name: &str| FileRecord {
        name: name.into(),
        sha256: crate::hash::of_bytes(bytes.as_bytes()),
        size: 1,
    };
    let manifest = Manifest {
        format: FORMAT,
        template: "debian-13".into(),
        version: "0.1.0".into(),
        architecture: "amd64".into(),
        form: "lxc".into(),
        suite: "trixie".into(),
        samba: packages.iter().find(|package| package.name == "samba").map(|package| package.version.clone()),
        agent: AgentRecord { version: Some("0.1.0".into()), sha256: "00".into() },
        recipe_hash: String::new(),
        lock_hash: String::new(),
        epoch: 0,
        build: None,
        archive: file("t.tar.zst"),
        tar: Some(file("t.tar")),
        disk: None,
        packages,
        files,
    };
    let owners = owners.map(|owners| {
        owners.iter().map(|(path, package)| ((*path).to_owned(), (*package).to_owned())).collect()
    });
    Template { manifest, owners }
}

fn old(owned: bool) -> Template {
    let mut tree = Tree::default();
    tree.put("/usr/bin/smbd", Entry::file("smbd 1")).unwrap();
    tree.put("/usr/bin/same", Entry::file("same")).unwrap();
    tree.put("/usr/bin/gone", Entry::file("gone").with_mode(0o755)).unwrap();
    tree.put("/etc/secret", Entry::file("x")).unwrap();
    tree.put("/etc/link", Entry::symlink("a")).unwrap();
    let owners = [("/usr/bin/smbd", "samba"), ("/usr/bin/gone", "gone")];
    template(vec![package("gone", "1"), package("samba", "2:4.9")], &tree, owned.then_some(&owners))
}

fn new(owned: bool) -> Template {
    let mut tree = Tree::default();
    tree.put("/usr/bin/smbd", Entry::file(vec![b'x'; 1_500_000])).unwrap();
    tree.put("/usr/bin/same", Entry::file("same")).unwrap();
    tree.put("/etc/secret", Entry::file("x").with_mode(0o600)).unwrap();
    tree.put("/etc/link", Entry::symlink("b")).unwrap();
    for number in 0..25 {
        tree.put(&format!("/usr/lib/new{number:02}"), Entry::file("n")).unwrap();
    }
    let owners = [("/usr/bin/smbd", "samba")];
    template(vec![package("samba", "2:4.10")], &tree, owned.then_some(&owners))
}

#[test]
fn for_people() {
    let (mut before, after) = (old(true), new(true));
    insta::assert_snapshot!("text", compare(&before, &after).text());
    let again = old(true);
    assert!(compare(&before, &again).text().ends_with("no difference"));
    before.manifest.archive.size = 7;
    assert!(compare(&before, &again).text().ends_with("no difference, but for how hard they are compressed"));
    assert!(!compare(&before, &again).differ);
}

#[test]
fn for_programs() {
    let (before, after) = (old(true), new(true));
    let mut difference = serde_json::to_value(compare(&before, &after)).unwrap();
    let files = difference["files"].as_array_mut().unwrap();
    let packages: Vec<_> = files.iter().map(|group| group["package"].as_str().map(str::to_owned)).collect();
    assert_eq!(packages, [None, Some("gone".into()), Some("samba".into())]);
    let new_paths = files[0]["added"].as_array_mut().unwrap();
    // complete, where people see the first only; a directory and 25 files
    assert_eq!(new_paths.len(), 26);
    new_paths.truncate(1);
    insta::assert_json_snapshot!("json", difference);
}

#[test]
fn manifests_alone_tell_no_packages_of_files() {
    let (before, after) = (old(false), new(true));
    let difference = compare(&before, &after);
    assert!(difference.differ && difference.sizes.is_empty());
    let (before, after) = (old(false), new(false));
    let difference = compare(&before, &after);
    assert_eq!(difference.files.len(), 1);
    assert!(!difference.text().contains("no package"), "{}", difference.text());
}

#[test]
fn other_bytes_of_the_same_paths_are_a_difference() {
    let (before, mut after) = (old(true), old(true));
    after.manifest.tar = None;
    assert!(compare(&before, &after).differ);
    let mut after = old(true);
    after.manifest.agent.sha256 = "01".into();
    assert!(compare(&before, &after).differ);
    assert!(compare(&before, &after).text().contains("agent 0.1.0, other bytes"));
}

#[test]
fn a_template_is_found_beside_its_manifest_and_nowhere_else() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = directory.path().join("smb-gateway-t_1_amd64.manifest.json");
    let mut found = old(true).manifest;
    let at = |found: &Manifest| archive(&manifest, found).unwrap();
    assert_eq!(at(&found), None);
    std::fs::write(directory.path().join("t.tar.zst"), "1").unwrap();
    assert_eq!(at(&found), Some(directory.path().join("t.tar.zst")));
    found.archive.size = 2;
    assert_eq!(at(&found), None, "another one of that name");
    found.archive = FileRecord { name: "/etc/hostname".into(), size: 0, ..found.archive };
    assert_eq!(at(&found), None);

    let template = directory.path().join("smb-gateway-t_1_amd64.tar.zst");
    assert!(matches!(archive(&template, &found), Err(Error::Missing { .. })));
    std::fs::write(&template, "12345").unwrap();
    assert!(matches!(archive(&template, &found), Err(Error::NotIntact { .. })));
}
