//! The database and the plan, for small packages made here.

use std::collections::BTreeSet;

use super::database::{Unpacked, database, unfinished};
use super::plan::plan;
use crate::deb::{Member, Package};
use crate::tree::{Entry, Kind, Tree, write_tar};

/// A package with this control text, these other control files, and these files.
pub(super) fn package(control: &str, members: &[(&str, &str)], files: &[(&str, Entry)]) -> Unpacked {
    let mut tree = Tree::default();
    for (path, entry) in files {
        tree.put(path, entry.clone()).unwrap();
    }
    let mut data = Vec::new();
    write_tar(&tree, &mut data).unwrap();
    let member = |(name, text): &(&str, &str)| Member {
        name: (*name).to_owned(),
        mode: 0o755,
        mtime: 5,
        content: text.as_bytes().to_vec(),
    };
    let members = members.iter().map(member).collect();
    Unpacked::new("test", Package { control: control.to_owned(), members, data }).unwrap()
}

fn control(name: &str, more: &str) -> String {
    format!("Package: {name}\nVersion: 1\nArchitecture: amd64\n{more}")
}

fn text_of(packages: &[Unpacked], path: &str) -> String {
    let replaced = vec![BTreeSet::new(); packages.len()];
    let files = database(packages, &replaced, &|_| None);
    let found = files.into_iter().find(|file| file.path == path).unwrap_or_else(|| panic!("no {path}"));
    String::from_utf8(found.content).unwrap()
}

#[test]
fn the_database_is_as_dpkg_writes_it() {
    let samba = package(
        &control("samba", "Multi-Arch: foreign\nDescription: x\n more\n"),
        &[
            ("conffiles", "/etc/pam.d/samba\nremove-on-upgrade /etc/old\n"),
            (
                "triggers",
                "# comment\ninterest-noawait /usr/lib/samba\ninterest samba-done\nactivate ldconfig\n",
            ),
            ("postinst", "#!/bin/sh\n"),
        ],
        &[("/etc/pam.d/samba", Entry::file("x"))],
    );
    let libc = package(
        &control("libc6", "Multi-Arch: same\n"),
        &[("triggers", "interest /lib/x\n")],
        &[("/usr/lib/libc.so", Entry::file("x"))],
    );
    let both = [libc, samba];
    insta::assert_snapshot!(text_of(&both, "/var/lib/dpkg/status"));
    assert_eq!(text_of(&both, "/var/lib/dpkg/info/samba.list"), "/.\n/etc\n/etc/pam.d\n/etc/pam.d/samba\n");
    assert_eq!(text_of(&both, "/var/lib/dpkg/info/libc6:amd64.triggers"), "interest /lib/x\n");
    assert_eq!(
        text_of(&both, "/var/lib/dpkg/triggers/File"),
        "/lib/x libc6:amd64\n/usr/lib/samba samba/noawait\n"
    );
    assert_eq!(text_of(&both, "/var/lib/dpkg/triggers/samba-done"), "samba\n");
}

#[test]
fn what_is_there_already_is_kept() {
    let one = [package(&control("one", ""), &[("triggers", "interest t\n")], &[])];
    let existing = |path: &str| match path {
        "/var/lib/dpkg/status" => Some("Package: base\nStatus: install ok installed\n\n".to_owned()),
        "/var/lib/dpkg/triggers/t" => Some("base\n".to_owned()),
        "/var/lib/dpkg/diversions" => Some("x".to_owned()),
        _ => None,
    };
    let files = database(&one, &[BTreeSet::new()], &existing);
    let text = |path: &str| {
        let found = files.iter().find(|file| file.path == format!("/var/lib/dpkg/{path}"));
        found.map(|file| String::from_utf8(file.content.clone()).unwrap())
    };
    assert_eq!(text("triggers/t").as_deref(), Some("base\none\n"));
    assert!(text("status").unwrap().starts_with("Package: base\n"));
    assert_eq!(text("diversions"), None, "it is not written anew");
    assert_eq!(unfinished(&text("status").unwrap()), ["one (install ok unpacked)"]);
}

#[test]
fn files_go_under_a_merged_usr_and_configuration_beside_its_place() {
    let one = package(
        &control("one", ""),
        &[("conffiles", "/etc/one.conf\n")],
        &[
            ("/bin/one", Entry::file("x")),
            ("/etc/one.conf", Entry::file("x")),
            ("/lib/one", Entry::directory()),
        ],
    );
    let plan = plan(&[one], &|_| false).unwrap();
    let to: Vec<_> = plan.files[0].iter().map(|(_, to)| to.as_str()).collect();
    assert_eq!(to, ["/etc/one.conf.dpkg-new", "/usr/bin/one"]);
    let directories: Vec<_> = plan.directories.keys().map(String::as_str).collect();
    assert_eq!(directories, ["/", "/etc", "/usr/bin", "/usr/lib", "/usr/lib/one"]);
}

#[test]
fn the_same_file_in_two_packages() {
    let with =
        |name: &str, more: &str, entry: Entry| package(&control(name, more), &[], &[("/usr/x", entry)]);
    let (a, b) = (with("a", "", Entry::file("a")), with("b", "", Entry::file("b")));
    let error = plan(&[a, b], &|_| false).unwrap_err().to_string();
    assert!(error.contains("a and b both have /usr/x"), "{error}");

    // the replacing one wins, whichever comes first, and the other's list does not have the path
    for replacing in ["a", "b"] {
        let more = |name| if name == replacing { "Replaces: a (<< 1), b\n" } else { "" };
        let two = [with("a", more("a"), Entry::file("a")), with("b", more("b"), Entry::file("b"))];
        let plan = plan(&two, &|_| false).unwrap();
        let winner = usize::from(replacing == "b");
        assert_eq!((plan.files[winner].len(), plan.files[1 - winner].len()), (1, 0), "{replacing}");
        assert!(plan.replaced[1 - winner].contains("/usr/x"));
        assert_eq!(two[1 - winner].list(&plan.replaced[1 - winner]), "/.\n/usr\n");
    }

    // a link where another package has a directory is left out; a file there is an error
    let directory = || package(&control("d", ""), &[], &[("/usr/x/y", Entry::file("y"))]);
    let linked = plan(&[directory(), with("l", "", Entry::symlink("z"))], &|_| false).unwrap();
    assert_eq!((linked.files[0].len(), linked.files[1].len()), (1, 0));
    assert!(plan(&[directory(), with("f", "", Entry::file("f"))], &|_| false).is_err());

    // what the tree to install on has is not overwritten
    let error = plan(&[with("a", "", Entry::file("a"))], &|path| path == "/usr/x").unwrap_err().to_string();
    assert!(error.contains("is there already"), "{error}");
}

#[test]
fn hostile_packages_are_refused() {
    let read = |control: &str, tar: Vec<u8>| {
        Unpacked::new("evil_1_amd64", Package { control: control.to_owned(), members: vec![], data: tar })
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    let tar = |tree: &Tree| {
        let mut data = Vec::new();
        write_tar(tree, &mut data).unwrap();
        data
    };
    let empty = || tar(&Tree::default());
    assert!(read("Package: a\nArchitecture: amd64\n", empty()).is_ok());
    for control in [
        "",
        "Package: a\n",
        "Package: ../../etc/x\nArchitecture: amd64\n",
        "Package: a/b\nArchitecture: all\n",
    ] {
        let error = read(control, empty()).unwrap_err();
        assert!(error.contains("evil_1_amd64"), "{error}");
    }
    let mut out = Tree::default();
    out.put("/x", Entry { kind: Kind::Hardlink("/../../etc/shadow".into()), ..Entry::file("") }).unwrap();
    assert!(read("Package: a\nArchitecture: amd64\n", tar(&out)).is_err());
}
