//! What starts.

use std::collections::BTreeSet;

use super::{Check, Subject};
use crate::tree::Kind;
use crate::units;

const UNITS: &str = "/etc/systemd/system";

pub(super) const ENABLED: Check = Check {
    name: "enabled-as-listed",
    why: "what is not listed must not start, and what is listed must",
    run: |subject| {
        let mut wanted = BTreeSet::new();
        let mut found = Vec::new();
        for unit in &subject.recipe.services.enable {
            match units::install_links(subject.tree, unit) {
                Ok(links) => wanted.extend(links.into_iter().map(|(link, _)| link)),
                Err(error) => found.push(error.to_string()),
            }
        }
        let present: BTreeSet<String> = subject
            .tree
            .under(UNITS)
            .filter(|path| units::is_enabling(path) && is_link(subject, path))
            .map(str::to_owned)
            .collect();
        let enabling = |path: &&String| units::is_enabling(path);
        found.extend(present.difference(&wanted).map(|path| format!("{path} is not listed")));
        found.extend(wanted.difference(&present).filter(enabling).map(|path| format!("{path} is missing")));
        found
    },
};

pub(super) const MASKED: Check = Check {
    name: "masked-as-listed",
    why: "these units fail, wait or cost memory in a gateway",
    run: |subject| {
        let always = ["nmbd.service".to_owned(), "systemd-firstboot.service".to_owned()];
        let listed = subject.recipe.services.mask.iter().chain(&always).collect::<BTreeSet<_>>();
        listed
            .into_iter()
            .filter(|unit| {
                let entry = subject.tree.get(&format!("{UNITS}/{unit}"));
                !entry.is_some_and(|entry| entry.kind == Kind::Symlink("/dev/null".into()))
            })
            .map(|unit| format!("{unit} is not masked"))
            .collect()
    },
};

pub(super) const FIRST_BOOT: Check = Check {
    name: "default-target",
    why: "the packages' default is a graphical system",
    run: |subject| {
        let target = &subject.recipe.services.default_target;
        let resolved = subject.tree.resolve(&format!("{UNITS}/default.target")).unwrap_or_default();
        if resolved.ends_with(&format!("/{target}")) { vec![] } else { vec![format!("it is `{resolved}`")] }
    },
};

fn is_link(subject: &Subject<'_>, path: &str) -> bool {
    subject.tree.get(path).is_some_and(|entry| matches!(entry.kind, Kind::Symlink(_)))
}
