//! Which installed package fulfils what another one depends on. Source: Debian Policy 7.1 and 7.5.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::debversion;

/// A package that another one names, perhaps with a bound on its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation<'a> {
    /// The name, without `:any`.
    pub name: &'a str,
    bound: Option<(Operator, &'a str)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Earlier,
    AtMost,
    Exactly,
    AtLeast,
    Later,
}

/// The clauses of a field (`Depends`, `Provides`, `Built-Using`): all must be fulfilled, each by one of its alternatives. What is
/// not in the format is left out.
pub fn parse(field: &str) -> Vec<Vec<Relation<'_>>> {
    let clauses = field.split(',').map(|clause| clause.split('|').filter_map(alternative).collect());
    clauses.filter(|clause: &Vec<_>| !clause.is_empty()).collect()
}

fn alternative(text: &str) -> Option<Relation<'_>> {
    let (name, rest) = match text.split_once('(') {
        Some((name, rest)) => (name, Some(rest.split(')').next().unwrap_or_default().trim())),
        None => (text, None),
    };
    let name = name.split([':', '[', '<']).next().unwrap_or_default().trim();
    let bound = rest.map(|rest| {
        let (operator, version) = rest.split_at(rest.find(|c| !"<>=".contains(c)).unwrap_or(rest.len()));
        let operator = match operator {
            "<<" => Operator::Earlier,
            "<=" | "<" => Operator::AtMost,
            "=" => Operator::Exactly,
            ">=" | ">" => Operator::AtLeast,
            ">>" => Operator::Later,
            _ => return None,
        };
        Some((operator, version.trim()))
    });
    match bound {
        _ if name.is_empty() || name.contains(char::is_whitespace) => None,
        Some(None) => None,
        bound => Some(Relation { name, bound: bound.flatten() }),
    }
}

impl<'a> Relation<'a> {
    /// The version it names, where it names exactly one: `(= 1.0-1)`.
    pub fn exactly(&self) -> Option<&'a str> {
        self.bound.filter(|(operator, _)| *operator == Operator::Exactly).map(|(_, version)| version)
    }

    fn allows(&self, version: &str) -> bool {
        let Some((operator, bound)) = self.bound else {
            return true;
        };
        let order = debversion::compare(version, bound);
        match operator {
            Operator::Earlier => order == Ordering::Less,
            Operator::AtMost => order != Ordering::Greater,
            Operator::Exactly => order == Ordering::Equal,
            Operator::AtLeast => order != Ordering::Less,
            Operator::Later => order == Ordering::Greater,
        }
    }
}

/// What is installed, by name and by what it provides. Packages are known by their number.
#[derive(Debug, Default)]
pub struct Installed<'a> {
    versions: BTreeMap<&'a str, (usize, &'a str)>,
    provided: BTreeMap<&'a str, Vec<(usize, Option<&'a str>)>>,
}

impl<'a> Installed<'a> {
    /// Adds a package with its `Provides` field.
    pub fn add(&mut self, number: usize, name: &'a str, version: &'a str, provides: &'a str) {
        self.versions.insert(name, (number, version));
        for relation in parse(provides).into_iter().flatten() {
            self.provided.entry(relation.name).or_default().push((number, relation.exactly()));
        }
    }

    /// The packages that fulfil a field of the package with this number, sorted: of each clause the first alternative that is there, and of
    /// those that provide it the first that was added.
    pub fn fulfil(&self, number: usize, field: &str) -> Vec<usize> {
        let clauses = parse(field);
        let mut found: Vec<usize> = clauses
            .iter()
            .filter_map(|clause| clause.iter().find_map(|relation| self.one(relation)))
            .filter(|found| *found != number)
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    fn one(&self, relation: &Relation<'_>) -> Option<usize> {
        let real = self.versions.get(relation.name).filter(|(_, version)| relation.allows(version));
        // what is provided without a version fulfils no bound
        let fits = |version: &Option<&str>| match version {
            Some(version) => relation.allows(version),
            None => relation.bound.is_none(),
        };
        let provided = || self.provided.get(relation.name)?.iter().find(|(_, version)| fits(version));
        real.map(|(number, _)| *number).or_else(|| provided().map(|(number, _)| *number))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn installed() -> Installed<'static> {
        let mut installed = Installed::default();
        installed.add(0, "libc6", "2.41-12", "");
        installed.add(1, "libssl3t64", "3.5.1-1", "libssl3 (= 3.5.1-1), ssl");
        installed.add(2, "mawk", "1.3.4", "awk");
        installed.add(3, "gawk", "5.2", "awk");
        installed
    }

    #[test]
    fn what_fulfils_a_field() {
        for (field, expected) in [
            ("libc6 (>= 2.38), libssl3 (>= 3.0)", &[0, 1][..]),
            ("awk", &[2]),
            ("none | gawk (<< 6) | mawk, libc6:any", &[0, 3]),
            ("libc6 (>= 3)", &[]),
            ("libc6 (<< 2.41-12)", &[]),
            ("libc6 (= 2.41-12), libc6 (>> 2.41), libc6 (<= 2.41-12)", &[0]),
            ("ssl (>= 1)", &[]),
            ("libc6 [amd64] <!nocheck>", &[0]),
            ("libc6 (weird 3)", &[]),
            ("", &[]),
        ] {
            assert_eq!(installed().fulfil(9, field), expected, "{field}");
        }
        assert_eq!(installed().fulfil(2, "awk"), [0_usize; 0], "not itself");
    }

    #[test]
    fn exact_versions() {
        let field = "rust-nettle (= 7.3.0-1), rustc (= 1.85.0+dfsg3-1), x";
        let found: Vec<_> = parse(field).into_iter().flatten().map(|one| (one.name, one.exactly())).collect();
        assert_eq!(found, [("rust-nettle", Some("7.3.0-1")), ("rustc", Some("1.85.0+dfsg3-1")), ("x", None)]);
    }

    proptest! {
        #[test]
        fn anything_is_read_without_panic(text in "([a-z]|[(),|:<>= ]|\\PC){0,40}") {
            installed().fulfil(0, &text);
        }
    }
}
