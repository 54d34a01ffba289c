//! A small tree that keeps every rule, and one test a rule that breaks it. These are the traps of image building that
//! shipped broken templates elsewhere.

use super::*;
use crate::form::Form;
use crate::tree::{Entry, Kind};

const EPOCH: i64 = 1_760_000_000;
const STRAY_UNIT: &str =
    "[Service]\nExecStart=/usr/local/bin/smbgw-agent serve\n[Install]\nWantedBy=multi-user.target\n";
const UNIT: &str = "[Install]\nWantedBy=multi-user.target\n";

fn recipe() -> Recipe {
    recipe_of(Form::Container)
}

fn recipe_of(form: Form) -> Recipe {
    let recipe = Recipe::parse(include_str!("../../../images/debian-13.yaml")).unwrap();
    recipe.of_form(form).unwrap()
}

fn lock() -> Lock {
    Lock {
        format: 1,
        template: "debian-13".into(),
        recipe_hash: String::new(),
        suite: "trixie".into(),
        architecture: "amd64".into(),
        epoch: EPOCH,
        packages: vec![],
        vm: None,
    }
}

fn good() -> Tree {
    good_of(&recipe())
}

fn good_of(recipe: &Recipe) -> Tree {
    let mut tree = Tree::default();
    for path in ["/dev", "/proc", "/sys", "/run"] {
        tree.put(path, Entry::directory()).unwrap();
    }
    tree.put("/tmp", Entry::directory().with_mode(0o1777)).unwrap();
    for unit in recipe.services.enable.iter().map(String::as_str).chain(["multi-user.target"]) {
        tree.put(&format!("/usr/lib/systemd/system/{unit}"), Entry::file(UNIT)).unwrap();
    }
    for (path, text) in [
        ("/etc/shadow", "root:*:20370::::::\nmessagebus:!*:20370::::::\n"),
        ("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n"),
        ("/etc/machine-id", ""),
        ("/etc/resolv.conf", ""),
        ("/etc/.updated", ""),
        ("/var/.updated", ""),
        ("/etc/debian_version", "13\n"),
        ("/etc/os-release", "ID=debian\n"),
        ("/etc/network/interfaces", "auto lo\n"),
        ("/etc/samba/smb.conf", "[global]\n  disable netbios = yes\n"),
        ("/usr/sbin/smbd", ""),
        ("/usr/sbin/init", ""),
        ("/usr/bin/sh", ""),
        ("/usr/bin/dpkg", ""),
        ("/var/lib/dpkg/status", ""),
    ] {
        tree.put(path, Entry::file(text)).unwrap();
    }
    tree.put("/bin", Entry::symlink("usr/bin")).unwrap();
    tree.put("/sbin", Entry::symlink("usr/sbin")).unwrap();
    tree.put(&recipe.agent.path, Entry::file("\x7fELF").with_mode(0o755)).unwrap();
    for link in &recipe.agent.links {
        tree.put(link, Entry::symlink(recipe.agent.path.clone())).unwrap();
    }
    crate::units::apply(&mut tree, &recipe.services).unwrap();
    crate::normalise::clamp_times(&mut tree, EPOCH);
    tree
}

/// The names of the checks that a changed tree breaks.
fn broken(change: impl FnOnce(&mut Tree)) -> Vec<&'static str> {
    let mut tree = good();
    change(&mut tree);
    let findings = run(&Subject { tree: &tree, recipe: &recipe(), lock: &lock() });
    findings.iter().map(|finding| finding.check).collect()
}

fn with(path: &'static str, text: &'static str) -> impl FnOnce(&mut Tree) {
    move |tree| {
        let entry = Entry { mtime: 1, ..Entry::file(text) };
        tree.put(path, entry).unwrap();
    }
}

#[test]
fn a_good_tree_breaks_nothing() {
    assert_eq!(broken(|_| {}), [""; 0]);
}

#[test]
fn each_trap_is_caught_by_its_check() {
    let mode = |path: &'static str, mode: u32| move |tree: &mut Tree| tree.get_mut(path).unwrap().mode = mode;
    assert_eq!(broken(mode("/usr/bin/dpkg", 0o4755)), ["set-id"]);
    assert_eq!(broken(mode("/usr/bin/dpkg", 0o777)), ["world-writable"]);
    assert_eq!(broken(mode("/tmp", 0o777)), ["world-writable"]);
    assert_eq!(broken(|tree| tree.get_mut("/etc/shadow").unwrap().mtime = EPOCH + 1), ["times"]);
    assert_eq!(broken(with("/etc/shadow", "root::20370::::::\n")), ["empty-password"]);
    assert_eq!(broken(with("/etc/shadow", "root:$y$j9T$abc:20370::::::\n")), ["password-hash"]);
    assert_eq!(broken(with("/etc/shadow", "root:!$y$j9T$abc:20370::::::\n")), ["password-hash"]);
    assert_eq!(broken(with("/etc/ssh/ssh_host_rsa_key", "x")), ["secrets"]);
    assert_eq!(broken(with("/root/k", "-----BEGIN OPENSSH PRIVATE KEY-----\n")), ["secrets"]);
    assert_eq!(broken(with("/var/lib/samba/private/secrets.tdb", "x")), ["secrets"]);
    assert_eq!(broken(with("/etc/krb5.keytab", "x")), ["secrets"]);
    assert_eq!(broken(with("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")), ["machine-id"]);
    assert_eq!(broken(|tree| tree.remove("/etc/machine-id")), ["machine-id"]);
    assert_eq!(broken(with("/var/lib/dbus/machine-id", "0123456789abcdef\n")), ["machine-id"]);
    assert_eq!(broken(with("/var/log/dpkg.log", "x")), ["leftovers"]);
    assert_eq!(broken(with("/var/lib/apt/lists/x_Packages", "x")), ["leftovers"]);
    assert_eq!(broken(with("/etc/resolv.conf", "nameserver 10.0.0.1\n")), ["leftovers"]);
    assert_eq!(broken(with("/usr/bin/python3.13", "x")), ["forbidden"]);
    assert_eq!(
        broken(with("/var/lib/dpkg/status", "Package: a\nStatus: install ok unpacked\n")),
        ["packages"; 2]
    );
    assert_eq!(broken(|tree| tree.remove("/usr/lib/smbgw/smbgw-agent")), ["agent"; 5]);
    assert_eq!(broken(with("/usr/lib/systemd/system/smbgw-agent.service", STRAY_UNIT)), ["agent"]);
    assert_eq!(broken(mode("/usr/lib/smbgw/smbgw-agent", 0o644)), ["agent"]);
    assert_eq!(broken(with("/usr/lib/smbgw/smbgw-agent", "#!/bin/sh\n")), ["agent"]);
    assert_eq!(broken(|tree| tree.remove("/etc/.updated")), ["updated-stamps"]);
    assert_eq!(broken(|tree| tree.get_mut("/var/.updated").unwrap().mtime = 1), ["updated-stamps"]);
    assert_eq!(broken(with("/etc/samba/smb.conf", "[global]\n")), ["netbios-off"]);
    assert_eq!(broken(|tree| tree.remove("/sbin")), ["important-paths"]);
}

/// The names of the checks that a changed tree or recipe of a virtual machine breaks.
fn broken_machine(change: impl FnOnce(&mut Tree, &mut Recipe)) -> Vec<&'static str> {
    let mut recipe = recipe_of(Form::Machine);
    let mut tree = good_of(&recipe);
    for path in [
        "/vmlinuz",
        "/initrd.img",
        "/vmlinuz.old",
        "/initrd.img.old",
        "/usr/bin/cloud-init",
        "/usr/bin/growpart",
        "/usr/sbin/qemu-ga",
        "/usr/sbin/blkid",
        "/usr/sbin/mkfs.ext4",
        "/usr/sbin/resize2fs",
    ] {
        tree.put(path, Entry::file("x")).unwrap();
    }
    tree.put("/etc/fstab", Entry::file("UUID=x / ext4 defaults 0 1\n")).unwrap();
    let config = include_str!("../../../images/overlay-vm/etc/cloud/cloud.cfg.d/90_smbgw.cfg");
    tree.put("/etc/cloud/cloud.cfg.d/90_smbgw.cfg", Entry::file(config)).unwrap();
    crate::normalise::clamp_times(&mut tree, EPOCH);
    change(&mut tree, &mut recipe);
    let findings = run(&Subject { tree: &tree, recipe: &recipe, lock: &lock() });
    findings.iter().map(|finding| finding.check).collect()
}

#[test]
fn traps_of_virtual_machines() {
    let arguments = |arguments: &'static [&'static str]| {
        move |_: &mut Tree, recipe: &mut Recipe| {
            let vm = recipe.vm.as_mut().unwrap();
            vm.disk.kernel_arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
        }
    };
    assert_eq!(broken_machine(|_, _| {}), [""; 0]);
    assert_eq!(broken_machine(|tree, _| tree.remove("/vmlinuz")), ["starts"]);
    assert_eq!(broken_machine(|tree, _| tree.remove("/usr/sbin/resize2fs")), ["starts"]);
    assert_eq!(broken_machine(|tree, _| tree.remove("/etc/fstab")), ["starts"]);
    assert_eq!(broken_machine(arguments(&["ro"])), ["console"]);
    assert_eq!(broken_machine(arguments(&["panic=30", "init=/bin/sh"])), ["console"]);
    assert_eq!(broken_machine(arguments(&["panic=30", "systemd.debug_shell"])), ["console"]);
    assert_eq!(
        broken_machine(|tree, _| tree.remove("/etc/systemd/system/getty.target")),
        ["masked-as-listed", "console"]
    );
    let other = "/etc/cloud/cloud.cfg.d/99_other.cfg";
    assert_eq!(broken_machine(|tree, _| with(other, "datasource_list: [Ec2]\n")(tree)), ["cloud-init"]);
    assert_eq!(broken_machine(|tree, _| with("/usr/sbin/sshd", "x")(tree)), ["forbidden"]);
}

#[test]
fn services_are_exactly_those_listed() {
    let link = |path: &'static str, target: &'static str| {
        move |tree: &mut Tree| {
            tree.put(path, Entry { mtime: 1, kind: Kind::Symlink(target.into()), ..Entry::symlink("") })
                .unwrap();
        }
    };
    let wants = "/etc/systemd/system/multi-user.target.wants";
    assert_eq!(
        broken(link("/etc/systemd/system/multi-user.target.wants/ctdb.service", "/x")),
        ["enabled-as-listed"]
    );
    assert_eq!(broken(|tree| tree.remove(&format!("{wants}/smbd.service"))), ["enabled-as-listed"]);
    assert_eq!(broken(|tree| tree.remove("/etc/systemd/system/nmbd.service")), ["masked-as-listed"]);
    assert_eq!(
        broken(|tree| tree.remove("/etc/systemd/system/systemd-firstboot.service")),
        ["masked-as-listed"]
    );
    assert_eq!(broken(link("/etc/systemd/system/default.target", "/none")), ["default-target"]);
}

#[test]
fn every_check_has_a_name_of_its_own_and_a_reason() {
    let mut names: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), CHECKS.len());
    assert!(CHECKS.iter().all(|check| check.why.len() > 10));
}
