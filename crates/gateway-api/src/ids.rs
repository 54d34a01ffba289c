//! Ids of users and groups: given once, and kept by name.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::spec::{FIRST_AUTO_UID, MAX_UID};
use crate::{GatewaySpec, GroupName, UserName};

/// First gid that is given to a group that has none: easily told from users' ids.
pub const FIRST_AUTO_GID: u32 = 20_000;

/// Ids that the users and groups of one gateway have, or had.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IdBook {
    /// Users; the uid is also the gid of the user's own group.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<UserName, u32>,
    /// Groups.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<GroupName, u32>,
}

impl IdBook {
    /// Those that a spec has.
    pub fn of(spec: &GatewaySpec) -> Self {
        Self {
            users: spec.users.iter().filter_map(|user| Some((user.name.clone(), user.uid?))).collect(),
            groups: spec.groups.iter().filter_map(|group| Some((group.name.clone(), group.gid?))).collect(),
        }
    }

    /// With those of a newer one, which win.
    #[must_use]
    pub fn updated(mut self, newer: &Self) -> Self {
        self.users.extend(newer.users.iter().map(|(name, id)| (name.clone(), *id)));
        self.groups.extend(newer.groups.iter().map(|(name, id)| (name.clone(), *id)));
        self
    }

    fn ids(&self) -> impl Iterator<Item = u32> {
        self.users.values().chain(self.groups.values()).copied()
    }
}

impl GatewaySpec {
    /// Gives every user and group without an id one: the one that it has or had in this gateway (`own`), else the one
    /// that the name has in all other gateways, else the next that nobody has anywhere. What the spec says itself is left.
    ///
    /// So a name means the same person whoever shares the data, and nobody inherits somebody else's files.
    pub fn assign_ids(&mut self, own: &IdBook, others: &[IdBook]) {
        // what the spec says must not be given to another
        let mut taken: BTreeSet<u32> = IdBook::of(self).ids().collect();
        let elsewhere: BTreeSet<u32> = others.iter().flat_map(IdBook::ids).collect();
        let mine: BTreeSet<u32> = own.ids().collect();
        let mut give = |first: u32, known: Option<u32>, others: BTreeSet<u32>| {
            let known = known.filter(|id| !taken.contains(id));
            let only = others.first().copied().filter(|_| others.len() == 1);
            let only = only.filter(|id| !taken.contains(id) && !mine.contains(id));
            let fresh = || {
                (first..=MAX_UID).find(|id| ![&taken, &mine, &elsewhere].iter().any(|ids| ids.contains(id)))
            };
            let id = known.or(only).or_else(fresh);
            taken.extend(id);
            id
        };
        // those that are known come first: a new one must not get theirs
        for known_ones in [true, false] {
            for user in self.users.iter_mut().filter(|user| user.uid.is_none()) {
                let known = own.users.get(&user.name).copied();
                if known.is_some() == known_ones {
                    let others = others.iter().filter_map(|book| book.users.get(&user.name).copied());
                    user.uid = give(FIRST_AUTO_UID, known, others.collect());
                }
            }
            for group in self.groups.iter_mut().filter(|group| group.gid.is_none()) {
                let known = own.groups.get(&group.name).copied();
                if known.is_some() == known_ones {
                    let others = others.iter().filter_map(|book| book.groups.get(&group.name).copied());
                    group.gid = give(FIRST_AUTO_GID, known, others.collect());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spec(yaml: &str) -> GatewaySpec {
        serde_yaml::from_str(&format!("name: a\n{yaml}")).unwrap()
    }

    fn given(yaml: &str, own: &IdBook, others: &[IdBook]) -> (Vec<u32>, Vec<u32>) {
        let mut spec = spec(yaml);
        spec.assign_ids(own, others);
        spec.check().unwrap();
        (
            spec.users.iter().filter_map(|user| user.uid).collect(),
            spec.groups.iter().filter_map(|group| group.gid).collect(),
        )
    }

    fn book(users: &[(&str, u32)], groups: &[(&str, u32)]) -> IdBook {
        IdBook {
            users: users.iter().map(|(name, id)| (name.parse().unwrap(), *id)).collect(),
            groups: groups.iter().map(|(name, id)| (name.parse().unwrap(), *id)).collect(),
        }
    }

    #[test]
    fn ids_stay_with_their_names() {
        let nobody = IdBook::default();
        let yaml = "users: [{name: bob}, {name: eve}]\ngroups: [{name: staff}]";
        assert_eq!(given(yaml, &nobody, &[]), (vec![10_000, 10_001], vec![20_000]));
        let own = book(&[("bob", 10_000), ("eve", 10_001)], &[("staff", 20_000)]);
        let yaml = "users: [{name: zoe}, {name: eve}]\ngroups: [{name: boss}, {name: staff}]";
        assert_eq!(given(yaml, &own, &[]), (vec![10_002, 10_001], vec![20_001, 20_000]));
    }

    #[test]
    fn a_name_is_one_person_in_all_gateways() {
        let others = [book(&[("alice", 10_000)], &[]), book(&[("bob", 1001)], &[("staff", 20_000)])];
        let yaml = "users: [{name: zoe}, {name: bob}, {name: alice}]\ngroups: [{name: new}]";
        assert_eq!(given(yaml, &IdBook::default(), &others), (vec![10_001, 1001, 10_000], vec![20_001]));
        // two gateways that do not agree are no help
        let others = [book(&[("alice", 10_000)], &[]), book(&[("alice", 10_005)], &[])];
        assert_eq!(given("users: [{name: alice}]", &IdBook::default(), &others).0, [10_001]);
    }

    #[test]
    fn what_is_said_wins() {
        let own = book(&[("alice", 10_000), ("bob", 10_001)], &[]);
        let yaml = "users: [{name: bob}, {name: alice, uid: 10001}]";
        assert_eq!(given(yaml, &own, &[]).0, [10_002, 10_001]);
        let yaml = "users: [{name: carol}]\ngroups: [{name: staff, gid: 10002}]";
        assert_eq!(given(yaml, &own, &[]), (vec![10_003], vec![10_002]));
    }

    proptest! {
        /// Whatever is known: every id is given, none twice, and none that another name has anywhere.
        #[test]
        fn no_id_is_two_people(
            names in proptest::collection::btree_set("[a-f]", 1..6),
            own in proptest::collection::btree_map("[a-f]", 10_000u32..10_008, 0..4),
            other in proptest::collection::btree_map("[a-f]", 10_000u32..10_008, 0..4),
        ) {
            let book = |map: &BTreeMap<String, u32>| IdBook {
                users: map.iter().map(|(name, id)| (name.parse().unwrap(), *id)).collect(),
                groups: BTreeMap::new(),
            };
            let users: Vec<_> = names.iter().map(|name| format!("{{name: {name}}}")).collect();
            let mut spec = spec(&format!("users: [{}]", users.join(", ")));
            let (own, other) = (book(&own), book(&other));
            spec.assign_ids(&own, std::slice::from_ref(&other));
            let ids: BTreeSet<u32> = spec.users.iter().map(|user| user.uid.unwrap()).collect();
            prop_assert_eq!(ids.len(), spec.users.len());
            for user in &spec.users {
                let is_other = other.users.iter().any(|(name, id)| *name != user.name && Some(*id) == user.uid);
                let is_known = own.users.get(&user.name) == user.uid.as_ref()
                    || other.users.get(&user.name) == user.uid.as_ref();
                prop_assert!(!is_other || is_known);
            }
        }
    }
}
