//! What is on every system before anything is asked for: scripts use it without saying so. Source: Debian Policy, 3.8 and 7.2.

use std::collections::{BTreeMap, BTreeSet};

use crate::deb822::Paragraph;

/// The essential packages, apt, and all that they need: names, from the control data of all packages.
pub fn basic<'a>(packages: &[Paragraph<'a>]) -> BTreeSet<&'a str> {
    let name_of = |package: &Paragraph<'a>| package.get("Package").unwrap_or_default();
    let names: BTreeMap<&str, &Paragraph<'a>> =
        packages.iter().map(|package| (name_of(package), package)).collect();
    let mut provided: BTreeMap<&str, &str> = BTreeMap::new();
    for package in packages {
        for (name, _) in relations(package, "Provides") {
            provided.entry(name).or_insert(name_of(package));
        }
    }
    let mut found = BTreeSet::new();
    let essential =
        |package: &&Paragraph<'a>| name_of(package) == "apt" || package.get("Essential") == Some("yes");
    let mut open: Vec<&str> = packages.iter().filter(essential).map(name_of).collect();
    while let Some(name) = open.pop() {
        let Some(package) = names.get(name).filter(|_| found.insert(name)) else { continue };
        for field in ["Pre-Depends", "Depends"] {
            let mut met = BTreeSet::new();
            for (need, group) in relations(package, field) {
                // of alternatives, the first that is there
                let real = names.get_key_value(need).map(|(name, _)| *name);
                if let Some(real) = real.or_else(|| provided.get(need).copied()).filter(|_| met.insert(group))
                {
                    open.push(real);
                }
            }
        }
    }
    found
}

/// Names in a field of relations, each with the number of the group of alternatives it is in. Source: deb-control(5).
fn relations<'a>(package: &Paragraph<'a>, field: &str) -> Vec<(&'a str, usize)> {
    let groups = package.get(field).unwrap_or_default().split(',').enumerate();
    groups
        .flat_map(|(number, group)| group.split('|').map(move |one| (number, one)))
        .filter_map(|(number, one)| Some((one.split_whitespace().next()?.split([':', '(']).next()?, number)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn essential_packages_and_what_they_need() {
        let texts = [
            "Package: apt\nDepends: gpgv | sqv, libapt (>= 1)\n",
            "Package: bash\nEssential: yes\nPre-Depends: libc6:any (>= 2), awk\n",
            "Package: libapt\n",
            "Package: libc6\n",
            "Package: libx\n",
            "Package: mawk\nProvides: awk\n",
            "Package: samba\nDepends: libx\n",
            "Package: sqv\n",
        ];
        let packages: Vec<_> = texts.iter().map(|text| Paragraph::new(text)).collect();
        let basic: Vec<_> = basic(&packages).into_iter().collect();
        assert_eq!(basic, ["apt", "bash", "libapt", "libc6", "mawk", "sqv"]);
    }
}
