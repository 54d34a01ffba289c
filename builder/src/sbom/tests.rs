use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::disk::DiskRecord;
use crate::guid::Guid;
use crate::lock::Package;
use crate::manifest::{AgentRecord, FORMAT, FileRecord};
use crate::tree::Entry;

const STATUS_TEXT: &str = "\
Package: gcc-14-base
Status: install ok installed
Maintainer: Debian GCC Maintainers <debian-gcc@lists.debian.org>
Architecture: amd64
Source: gcc-14 (14-1)
Version: 2:14-1+b1
Description: GCC, the GNU Compiler Collection (base package)
 More about it.
Homepage: http://gcc.gnu.org/

Package: libstdc++6
Status: install ok installed
Maintainer: Debian GCC Maintainers <debian-gcc@lists.debian.org>
Architecture: amd64
Source: gcc-14 (14-1)
Version: 2:14-1+b1
Provides: libstdc++-abi (= 6)
Depends: gcc-14-base (= 2:14-1+b1), nothing | other
Description: GNU Standard C++ Library v3

Package: sqv
Status: install ok installed
Maintainer: A Person (nick) <person@debian.org>
Architecture: amd64
Source: rust-sequoia-sqv
Version: 1.3.0-3
Pre-Depends: libstdc++-abi (>= 5)
Depends: gcc-14-base | libstdc++6
Static-Built-Using: rust-nettle (= 7.3.0-1), rustc (= 1.85.0+dfsg3-1), rust-sequoia-sqv (= 1.3.0-3)
Homepage: not an address
";

const GCC_COPYRIGHT: &str =
    "GCC is under version 3 or any later version of the GPL: /usr/share/common-licenses/GPL-3.\n";
const SQV_COPYRIGHT: &str = "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: A
License: LGPL-2+ or Nice

Files: debian/*
Copyright: B
License: Expat

License: Nice
 Be nice.
";

fn package(name: &str, version: &str, source: &str, source_version: &str) -> Package {
    Package {
        name: name.into(),
        version: version.into(),
        architecture: "amd64".into(),
        source: source.into(),
        source_version: source_version.into(),
        path: format!("debian/pool/{name}.deb"),
        size: 1,
        sha256: crate::hash::of_bytes(name.as_bytes()),
    }
}

fn file(name: &str) -> FileRecord {
    FileRecord { name: name.into(), sha256: crate::hash::of_bytes(b"x"), size: 1 }
}

/// Three installed packages, and one whose files start the disk.
fn bill() -> Bill {
    let packages = vec![
        package("gcc-14-base", "2:14-1+b1", "gcc-14", "14-1"),
        package("libstdc++6", "2:14-1+b1", "gcc-14", "14-1"),
        package("sqv", "1.3.0-3", "rust-sequoia-sqv", "1.3.0-3"),
    ];
    let shim = package("shim-signed", "1.47+15.8-1", "shim-signed", "1.47");
    let mut tree = Tree::default();
    tree.put(STATUS, Entry::file(STATUS_TEXT)).unwrap();
    tree.put("/usr/share/doc/gcc-14-base/copyright", Entry::file(GCC_COPYRIGHT)).unwrap();
    tree.put("/usr/share/doc/sqv", Entry::symlink("sq")).unwrap();
    tree.put("/usr/share/doc/sq/copyright", Entry::file(SQV_COPYRIGHT)).unwrap();
    let recipe = Recipe::parse(include_str!("../../../images/debian-13.yaml")).unwrap();
    let manifest = Manifest {
        format: FORMAT,
        template: "debian-13".into(),
        version: "0.1.0".into(),
        architecture: "amd64".into(),
        form: "vm".into(),
        suite: "trixie".into(),
        samba: None,
        agent: AgentRecord { version: Some("0.1.0".into()), sha256: crate::hash::of_bytes(b"agent") },
        recipe_hash: String::new(),
        lock_hash: String::new(),
        epoch: 1_760_000_000,
        build: None,
        archive: file("t.qcow2"),
        tar: None,
        disk: Some(DiskRecord {
            virtual_size: 1,
            sha256: String::new(),
            guid: Guid::known(1),
            partitions: vec![],
            kernel_arguments: vec![],
            boot_packages: vec![(&shim).into()],
        }),
        packages: packages.iter().map(Into::into).collect(),
        files: vec![],
    };
    let lock = Lock {
        format: crate::lock::FORMAT,
        template: "debian-13".into(),
        recipe_hash: String::new(),
        suite: "trixie".into(),
        architecture: "amd64".into(),
        epoch: 0,
        packages,
        vm: Some(crate::lock::VmPackages { packages: vec![], boot: vec![shim] }),
    };
    Bill::new(&Subject { manifest: &manifest, recipe: &recipe, lock: &lock, tree: &tree })
}

#[test]
fn both_formats() {
    insta::assert_snapshot!("cyclonedx", cyclonedx::text(&bill()));
    insta::assert_snapshot!("spdx", spdx::text(&bill()));
}

#[test]
fn the_same_input_gives_the_same_text() {
    assert_eq!(cyclonedx::text(&bill()), cyclonedx::text(&bill()));
    assert_eq!(spdx::text(&bill()), spdx::text(&bill()));
}

#[test]
fn every_reference_leads_somewhere() {
    let bill = bill();
    let texts = |value: &Value, name: &str| -> BTreeSet<String> {
        let items = value.as_array().unwrap().iter();
        items.map(|item| item[name].as_str().unwrap().to_owned()).collect()
    };
    let document: Value = serde_json::from_str(&cyclonedx::text(&bill)).unwrap();
    let mut known = texts(&document["components"], "bom-ref");
    assert_eq!(known.len(), 4 + 5 + 1, "no two components have the same reference");
    known.insert("template".into());
    assert_eq!(texts(&document["dependencies"], "ref"), known);
    for dependency in document["dependencies"].as_array().unwrap() {
        for on in dependency["dependsOn"].as_array().unwrap_or(&Vec::new()) {
            assert!(known.contains(on.as_str().unwrap()), "{on}");
        }
    }

    let document: Value = serde_json::from_str(&spdx::text(&bill)).unwrap();
    let mut known = texts(&document["packages"], "SPDXID");
    assert_eq!(known.len(), 4 + 5 + 2);
    known.insert("SPDXRef-DOCUMENT".into());
    for end in ["spdxElementId", "relatedSpdxElement"] {
        assert!(texts(&document["relationships"], end).is_subset(&known));
    }
    let defined = texts(&document["hasExtractedLicensingInfos"], "licenseId");
    for package in document["packages"].as_array().unwrap() {
        let declared = package["licenseDeclared"].as_str().unwrap();
        for word in declared.split([' ', '(', ')']).filter(|word| word.starts_with("LicenseRef-")) {
            assert!(defined.contains(word), "{word}");
        }
    }
}

#[test]
fn without_a_record_nothing_is_claimed() {
    let bill = bill();
    let shim = bill.binaries.iter().find(|binary| binary.package.name == "shim-signed").unwrap();
    assert_eq!((&shim.licence, &shim.control, shim.depends.len()), (&None, &Control::default(), 0));
    assert!(
        shim.location.as_deref().is_some_and(|location| location.ends_with("/debian/pool/shim-signed.deb"))
    );
}

#[test]
fn maintainers() {
    let of = |text: &str| Maintainer::parse(text).map(|found| (found.name.clone(), found.is_group()));
    for (text, name, group) in [
        ("Debian GCC Maintainers <debian-gcc@lists.debian.org>", "Debian GCC Maintainers", true),
        ("LMDB <lmdb@packages.debian.org>", "LMDB", true),
        ("Debian Libidn team <help-libidn@gnu.org>", "Debian Libidn team", true),
        ("Laszlo Boszormenyi (GCS) <gcs@debian.org>", "Laszlo Boszormenyi (GCS)", false),
        ("\"A. Steamer\" <a@b.c>", "A. Steamer", false),
    ] {
        assert_eq!(of(text), Some((name.to_owned(), group)), "{text}");
    }
    for text in ["", "nobody", "<a@b>", "A <not an address>", "A <", "A <>"] {
        assert_eq!(of(text), None, "{text}");
    }
}
