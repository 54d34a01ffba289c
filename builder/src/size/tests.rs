use std::path::Path;

use super::*;
use crate::error::{Category, Error};
use crate::form::Form;
use crate::hash;
use crate::manifest::list_paths;
use crate::recipe::Recipe;
use crate::tarball::Level;
use crate::tree::{Entry, Kind, Tree};

fn sizes(sizes: &[(&str, u64)]) -> PackageSizes {
    sizes.iter().map(|(name, size)| (*name, *size)).collect()
}

#[test]
fn each_file_counts_for_the_package_that_brought_it() {
    let mut tree = Tree::default();
    for (path, content) in [
        ("/var/lib/dpkg/info/acl.list", "/.\n/bin\n/bin/getfacl\n/usr/share/doc/acl/copyright\n"),
        ("/var/lib/dpkg/info/libacl1:amd64.list", "/.\n/usr/lib/libacl.so.1\n/usr/lib/libacl.so\n"),
        ("/var/lib/dpkg/info/acl.md5sums", "x"),
        // packages of Debian 12 list it in /bin
        ("/usr/bin/getfacl", "1234"),
        ("/usr/lib/libacl.so.1", "12345678"),
        ("/usr/lib/smbgw/smbgw-agent", "agent"),
        ("/etc/hosts", "12"),
    ] {
        tree.put(path, Entry::file(content)).unwrap();
    }
    let other_name = Entry { kind: Kind::Hardlink("/usr/lib/libacl.so.1".into()), ..Entry::file("") };
    tree.put("/usr/lib/libacl.so.2", other_name).unwrap();
    tree.put("/usr/lib/libacl.so", Entry::symlink("libacl.so.1")).unwrap();
    let lists: u64 = tree.under("/var/lib/dpkg/info").map(|path| tree.file(path).unwrap().len() as u64).sum();

    let found = PackageSizes::add_up(&list_paths(&tree), &Owners::of_tree(&tree), &hash::of_bytes(b"agent"));
    let expected = [("acl", 4), ("libacl1", 8), (AGENT, 5), (NO_PACKAGE, lists + 2)];
    assert_eq!(found, sizes(&expected));
    assert_eq!(found.total(), lists + 19);
    assert_eq!(found.biggest_first()[0], (NO_PACKAGE, lists + 2));
}

#[test]
fn changes_are_in_order_of_growth() {
    let before = sizes(&[("same", 5), ("grown", 10), ("shrunk", 10), ("gone", 7)]);
    let now = sizes(&[("same", 5), ("grown", 30), ("shrunk", 1), ("new", 8), ("also-new", 8)]);
    let found: Vec<_> =
        changes(&before, &now).into_iter().map(|change| (change.delta(), change.package)).collect();
    let expected = [(20, "grown"), (8, "also-new"), (8, "new"), (-7, "gone"), (-9, "shrunk")];
    assert_eq!(found, expected.map(|(delta, name)| (delta, name.to_owned())));
    assert_eq!(changes(&now, &now), []);
}

#[test]
fn a_package_of_another_version_is_not_a_new_one() {
    let before =
        sizes(&[("linux-image-6.12.9+deb13-amd64", 33), ("libicu76", 38), ("liba1", 1), ("liba2", 1)]);
    let now = sizes(&[("linux-image-6.12.118+deb13-amd64", 35), ("libicu78", 38), ("liba3", 1)]);
    let found = changes(&before, &now);
    let change = |package: &str, was: Option<&str>, before, now| Change {
        package: package.into(),
        was: was.map(Into::into),
        before,
        now,
    };
    let kernel = "linux-image-6.12.9+deb13-amd64";
    let expected = [
        change("linux-image-6.12.118+deb13-amd64", Some(kernel), Some(33), Some(35)),
        // which of the two it replaces cannot be said
        change("liba3", None, None, Some(1)),
        change("liba1", None, Some(1), None),
        change("liba2", None, Some(1), None),
    ];
    assert_eq!(found, expected);
    assert!(found[0].to_string().ends_with("(linux-image-6.12.9+deb13-amd64: 0.00 → 0.00)"));
}

#[test]
fn a_record_keeps_other_forms_and_levels() {
    let directory = tempfile::tempdir().unwrap();
    let place = SizeRecord::place(&directory.path().join("debian-13.yaml"));
    assert_eq!(place.file_name().unwrap(), "debian-13.sizes.json");
    assert_eq!(SizeRecord::load(&place).unwrap(), None);
    let mut record = SizeRecord::new("debian-13");
    record.set(Form::Machine, sizes(&[("udev", 9_000_000)]), Level::Quick, 150_000_000);
    record.set(Form::Container, sizes(&[("samba", 40_000_000)]), Level::Release, 56_000_000);
    record.save(&place).unwrap();
    let mut record = SizeRecord::load(&place).unwrap().unwrap();
    record.set(Form::Container, sizes(&[("samba", 41_000_000), (AGENT, 3)]), Level::Quick, 66_000_000);
    record.save(&place).unwrap();
    insta::assert_snapshot!("record", std::fs::read_to_string(&place).unwrap());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing but the record");

    for (bad, said) in [("{}", "missing field"), ("{\"format\": 1, \"extra\": 1}", "extra")] {
        std::fs::write(&place, bad).unwrap();
        let error = SizeRecord::load(&place).unwrap_err();
        assert_eq!(error.category(), Category::Usage);
        assert!(error.to_string().contains(said), "{error}");
    }
    let later = record.to_text().replacen("\"format\": 1", "\"format\": 2", 1);
    assert!(SizeRecord::parse(&later).unwrap_err().contains("format 2"));
}

/// A recipe with a budget: small enough for nothing real.
const RECIPE: &str = include_str!("tests/budget.yaml");

fn gate(size: u64, packages: &PackageSizes, record: Option<&FormSizes>) -> Result<(), Error> {
    let recipe = Recipe::parse(RECIPE).unwrap();
    let (form, level) = (Form::Container, Level::Quick);
    let budget = recipe.size.unwrap().of(form, level).unwrap();
    let packed = gate::Packed { form, level, size, packages };
    gate::check(&packed, budget, record, Path::new("images/tiny.sizes.json")).map_err(Error::TooBig)
}

#[test]
fn the_budget_is_in_the_recipe() {
    let recipe = Recipe::parse(RECIPE).unwrap();
    let budget = |form, level| recipe.size.unwrap().of(form, level);
    assert_eq!(budget(Form::Container, Level::Quick), Some(66_000_000));
    assert_eq!(budget(Form::Container, Level::Release), Some(56_000_000));
    assert_eq!(budget(Form::Machine, Level::Quick), None);
    for (from, to, said) in [
        ("quick-mb: 66", "quick-mb: 0", "nonzero"),
        ("quick-mb: 66", "quick-mb: 66.5", "66.5"),
        ("quick-mb: 66", "quick: 66", "quick"),
        ("  lxc:", "  pod:", "pod"),
        ("  lxc:", "  vm: {quick-mb: 1}\n  lxc:", "no `vm` section"),
    ] {
        assert!(RECIPE.contains(from));
        let error = Recipe::parse(&RECIPE.replacen(from, to, 1)).unwrap_err();
        assert!(error.contains(said), "{to}: {error}");
    }
    // another budget makes no other template
    let without = Recipe { size: None, ..recipe.clone() };
    assert_eq!((recipe.package_hash(), recipe.tree_hash()), (without.package_hash(), without.tree_hash()));
}

#[test]
fn what_is_within_the_budget_passes() {
    let packages = sizes(&[("samba", 40_000_000)]);
    gate(66_000_000, &packages, None).unwrap();
    let error = gate(66_000_001, &packages, None).unwrap_err();
    assert_eq!((error.category(), error.category().exit_code()), (Category::Usage, 2));
    assert!(error.hint().unwrap().contains("budget"));
}

#[test]
fn the_gate_says_what_grew() {
    let before =
        sizes(&[("samba-libs", 45_000_000), ("libc6", 12_000_000), ("bash", 7_000_000), ("perl", 9_000_000)]);
    let now = sizes(&[
        ("samba-libs", 57_310_000),
        ("libc6", 12_040_000),
        ("bash", 6_900_000),
        ("python3", 8_300_000),
        (AGENT, 4_000_000),
    ]);
    let record = |level| FormSizes { compressed: [(level, 61_000_000)].into(), packages: before.clone() };
    let message =
        |packages, record: Option<&FormSizes>| gate(67_348_113, packages, record).unwrap_err().to_string();
    insta::assert_snapshot!("gate_with_record", message(&now, Some(&record(Level::Quick))));
    // the level was never recorded, and only the compression is another
    insta::assert_snapshot!("gate_without_growth", message(&before, Some(&record(Level::Release))));
    let many: PackageSizes =
        (1..=20u64).map(|number| (format!("package-{number}"), number * 1_000_000)).collect();
    insta::assert_snapshot!("gate_without_record", message(&many, None));
}
