use super::*;

const RECIPE: &str = include_str!("../../../images/debian-13.yaml");

fn parse_with(from: &str, to: &str) -> Result<Recipe, String> {
    assert!(RECIPE.contains(from), "the recipe has no `{from}`");
    Recipe::parse(&RECIPE.replacen(from, to, 1))
}

#[test]
fn the_shipped_recipes_are_good() {
    for text in [RECIPE, include_str!("../../../images/debian-12.yaml")] {
        Recipe::parse(text).unwrap();
    }
}

#[test]
fn an_unknown_field_is_refused_with_its_line() {
    let error = parse_with("\nsuite:", "\nsweet: x\nsuite:").unwrap_err();
    assert!(error.contains("sweet") && error.contains("line "), "{error}");
}

#[test]
fn bad_values_are_refused() {
    for (from, to, said) in [
        ("name: debian-13", "name: ../x", "cannot be the name"),
        ("mirror: http://", "mirror: ftp://", "http://"),
        ("\"0700\"", "\"0900\"", "octal"),
        ("nmbd.service", "nmbd", "not the name of a systemd unit"),
        ("/srv/smb/", "/srv/../etc/", "absolute path"),
        ("    - smbd.service", "    - smbd.service\n    - smbd.service", "twice"),
    ] {
        let error = parse_with(from, to).unwrap_err();
        assert!(error.contains(said), "{to}: {error}");
    }
}

#[test]
fn each_form_has_its_part() {
    let recipe = Recipe::parse(RECIPE).unwrap();
    let container = recipe.of_form(Form::Container).unwrap();
    let machine = recipe.of_form(Form::Machine).unwrap();
    let has = |recipe: &Recipe, name: &str| recipe.packages.iter().any(|package| package == name);
    assert!(!has(&container, "udev") && has(&machine, "udev") && has(&machine, "samba"));
    assert!(container.vm.is_none() && machine.services != container.services);
    assert!(machine.set_id.strip.starts_with(&container.set_id.strip));
    assert_ne!(container.tree_hash(), machine.tree_hash());
    assert!(container.of_form(Form::Machine).unwrap_err().contains("no `vm` section"));
}

#[test]
fn bad_values_of_the_other_form_are_refused() {
    for (from, to, said) in [
        ("size-mib: 2048", "size-mib: 20", "`size-mib`"),
        ("panic=30]", "\"x; reboot\"]", "kernel argument"),
        ("virtio_blk,", "../x,", "the module"),
        ("    - udev\n", "    - udev\n    - samba\n", "twice"),
        ("  initrd:\n", "  initrds: {}\n  initrd:\n", "initrds"),
    ] {
        let error = parse_with(from, to).unwrap_err();
        assert!(error.contains(said), "{to}: {error}");
    }
}

#[test]
fn the_lock_does_not_depend_on_mirror_or_overlay() {
    let plain = Recipe::parse(RECIPE).unwrap();
    let mirrored = parse_with("mirror: http://deb.debian.org", "mirror: http://mirror.test").unwrap();
    assert_eq!(plain.package_hash(), mirrored.package_hash());
    assert_ne!(plain.hash(), mirrored.hash());
    let more = parse_with("packages:", "packages:\n  - less").unwrap();
    assert_ne!(plain.package_hash(), more.package_hash());
}
