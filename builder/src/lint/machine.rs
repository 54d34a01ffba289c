//! What only a virtual machine must have, and must not. A container has no `vm` in its recipe, and keeps these at once.

use super::{Check, Subject};
use crate::tree::Kind;

pub(super) const STARTS: Check = Check {
    name: "starts",
    why: "without these the machine does not start, does not grow, or cannot be reached",
    run: |subject| {
        const NEEDED: &[&str] = &[
            // the boot loader reads these links, so that kernels can be upgraded
            "/vmlinuz",
            "/initrd.img",
            "/vmlinuz.old",
            "/initrd.img.old",
            "/usr/bin/cloud-init",
            "/usr/bin/growpart",
            "/usr/sbin/qemu-ga",
            // the agent's, for data disks
            "/usr/sbin/blkid",
            "/usr/sbin/mkfs.ext4",
            "/usr/sbin/resize2fs",
        ];
        let missing = |path: &&&str| subject.tree.resolve(path).is_none();
        let mut found: Vec<String> = of_machine(subject, NEEDED)
            .iter()
            .filter(missing)
            .map(|path| format!("{path} leads nowhere"))
            .collect();
        let table = subject.tree.text("/etc/fstab").unwrap_or_default();
        let has_root = table.lines().any(|line| line.split_whitespace().nth(1) == Some("/"));
        if subject.recipe.vm.is_some() && !has_root {
            found.push("/etc/fstab does not name the root".into());
        }
        found
    },
};

pub(super) const CONSOLE: Check = Check {
    name: "console",
    why: "whoever has the console of the machine would be root in it",
    run: |subject| {
        let Some(vm) = &subject.recipe.vm else { return vec![] };
        let mut found = Vec::new();
        if !vm.disk.kernel_arguments.iter().any(|argument| argument.starts_with("panic=")) {
            found.push("the kernel arguments have no panic=, so a failed start opens a shell".to_owned());
        }
        let prompts = subject.tree.get("/etc/systemd/system/getty.target");
        if !prompts.is_some_and(|entry| entry.kind == Kind::Symlink("/dev/null".into())) {
            found.push("getty.target is not masked".into());
        }
        let shell = |argument: &&String| {
            let name = argument.split('=').next().unwrap_or_default();
            ["init", "rdinit", "single", "emergency", "rescue", "break"].contains(&name)
                || argument.starts_with("systemd.debug")
        };
        found.extend(
            vm.disk
                .kernel_arguments
                .iter()
                .filter(shell)
                .map(|argument| format!("the kernel argument {argument} opens a shell")),
        );
        found
    },
};

pub(super) const CLOUD_INIT: Check = Check {
    name: "cloud-init",
    why: "any other source is asked over the network, by whoever answers there",
    run: |subject| {
        const ALLOWED: &str = "datasource_list: [NoCloud, ConfigDrive]";
        let limited =
            |path: &str| subject.tree.text(path).unwrap_or_default().lines().any(|line| line == ALLOWED);
        let directory = "/etc/cloud/cloud.cfg.d";
        let last = subject.tree.under(directory).filter(|path| path.ends_with(".cfg")).last();
        match (&subject.recipe.vm, last) {
            (None, _) => vec![],
            // the last file wins
            (Some(_), Some(path)) if limited(path) => vec![],
            (Some(_), path) => {
                vec![format!("{} does not say `{ALLOWED}`", path.unwrap_or(directory))]
            }
        }
    },
};

fn of_machine<'a>(subject: &Subject<'_>, needed: &'a [&'a str]) -> &'a [&'a str] {
    if subject.recipe.vm.is_some() { needed } else { &[] }
}
