//! What is on every system before anything is asked for: scripts use it without saying so. Source: Debian Policy, 3.8 and 7.2.

use std::collections::{BTreeMap, BTreeSet};

use super::database::Unpacked;
use crate::deb822::Paragraph;

/// The essential packages, apt, and all that they need.
pub(super) fn basic(packages: &[Unpacked]) -> BTreeSet<&str> {
    let names: BTreeMap<&str, &Unpacked> =
        packages.iter().map(|package| (package.name.as_str(), package)).collect();
    let mut provided: BTreeMap<String, &str> = BTreeMap::new();
    for package in packages {
        for (name, _) in relations(package, "Provides") {
            provided.entry(name).or_insert(&package.name);
        }
    }
    let mut found = BTreeSet::new();
    let essential = |package: &&Unpacked| {
        package.name == "apt" || Paragraph::new(&package.control).get("Essential") == Some("yes")
    };
    let mut open: Vec<&str> =
        packages.iter().filter(essential).map(|package| package.name.as_str()).collect();
    while let Some(name) = open.pop() {
        let Some(package) = names.get(name).filter(|_| found.insert(name)) else { continue };
        let needs = relations(package, "Pre-Depends").into_iter().chain(relations(package, "Depends"));
        let mut chosen = BTreeSet::new();
        for (need, group) in needs {
            // of alternatives, the first that is there
            let real = names.get_key_value(need.as_str()).map(|(name, _)| *name);
            if let Some(real) = real.or_else(|| provided.get(&need).copied()).filter(|_| chosen.insert(group))
            {
                open.push(real);
            }
        }
    }
    found
}

/// Names in a field of relations, each with the number of the group of alternatives it is in.
fn relations(package: &Unpacked, field: &str) -> Vec<(String, (String, usize))> {
    let text = Paragraph::new(&package.control).get(field).unwrap_or_default();
    let groups = text.split(',').enumerate();
    groups
        .flat_map(|(number, group)| group.split('|').map(move |one| (number, one)))
        .filter_map(|(number, one)| {
            let name = one.split_whitespace().next()?.split([':', '(']).next()?;
            Some((name.to_owned(), (field.to_owned(), number)))
        })
        .collect()
}
