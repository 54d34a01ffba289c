//! Tests of the planner.

use super::*;
use crate::accounts::{Accounts, Group, MARK};

fn desired(users: &[(&str, u32)]) -> DesiredState {
    let users: Vec<String> = users.iter().map(|(n, u)| format!(r#"{{"name":"{n}","uid":{u}}}"#)).collect();
    serde_json::from_str(&format!(
        r#"{{"name":"team","security":"standard","users":[{}],
            "shares":[{{"name":"x","comment":null,"read_only":false,"users":[],"browseable":true}}]}}"#,
        users.join(",")
    ))
    .unwrap()
}

fn account(name: &str, uid: u32, comment: &str) -> Account {
    Account { name: name.into(), uid, gid: uid, comment: comment.into() }
}

fn group(name: &str, gid: u32, members: &[&str], ours: bool) -> Group {
    let members = members.iter().map(|name| (*name).to_owned()).collect();
    Group { name: name.into(), gid, members, ours }
}

/// A gateway in which `state` is true.
fn in_force(state: &DesiredState) -> Observed {
    let mut accounts = Accounts::default();
    accounts.users.push(account("root", 0, "root"));
    accounts.groups.push(group("root", 0, &[], false));
    for user in &state.users {
        accounts.users.push(account(user.name.as_str(), user.uid, MARK));
        accounts.groups.push(group(user.name.as_str(), user.uid, &[], false));
    }
    for wanted in &state.groups {
        let members: Vec<&str> = wanted.members.iter().map(UserName::as_str).collect();
        accounts.groups.push(group(&wanted.name.unix_name(), wanted.gid, &members, true));
    }
    Observed {
        accounts,
        membership: None,
        smb_conf: Config::of(state, &crate::instance::Instance::default(), None).render(),
        applied: Some(state.clone()),
        host: "team".into(),
        sid_set_for: Some("TEAM".into()),
        smbd: "active".into(),
        storage: Default::default(),
        instance: crate::instance::Instance::default(),
    }
}

#[test]
fn what_is_in_force_needs_nothing() {
    let state = desired(&[("alice", 10_000)]);
    assert!(plan(&state, &in_force(&state)).unwrap().is_empty());
}

#[test]
fn a_fresh_gateway_is_reloaded_only() {
    let state = desired(&[("alice", 10_000)]);
    let mut fresh = in_force(&desired(&[]));
    (fresh.applied, fresh.smb_conf) = (None, Config::base().render());
    let plan = plan(&state, &fresh).unwrap();
    assert_eq!((plan.service, plan.add.len(), plan.save, plan.is_first), (Service::Reload, 1, true, true));
    assert!(plan.smb_conf.is_some() && plan.remove.is_empty() && plan.close.is_empty());
}

#[test]
fn drift_is_put_right() {
    let state = desired(&[("alice", 10_000)]);
    let mut observed = in_force(&state);
    observed.smb_conf.push_str("\n[evil]\npath = /\n");
    observed.smbd = "failed".into();
    let plan = plan(&state, &observed).unwrap();
    assert_eq!(plan.service, Service::Start);
    assert!(plan.smb_conf.is_some() && !plan.save);
}

#[test]
fn another_sid_or_profile_restarts() {
    let state = desired(&[]);
    let mut observed = in_force(&state);
    observed.sid_set_for = Some("OTHER".into());
    let planned = plan(&state, &observed).unwrap();
    assert_eq!((planned.service, planned.machine_sid.as_deref()), (Service::Restart, Some("TEAM")));
    let high = DesiredState { security: smbgw_api::SecurityProfile::High, ..state.clone() };
    assert_eq!(plan(&high, &in_force(&state)).unwrap().service, Service::Restart);
}

#[test]
fn users_come_change_and_go() {
    let old = desired(&[("alice", 10_000), ("bob", 10_001)]);
    let new = desired(&[("alice", 10_005), ("carol", 10_002)]);
    let plan = plan(&new, &in_force(&old)).unwrap();
    assert_eq!(plan.renumber, [new.users[0].clone()]);
    assert_eq!(plan.add, [new.users[1].clone()]);
    assert_eq!(plan.remove.iter().map(UserName::as_str).collect::<Vec<_>>(), ["bob"]);
    assert_eq!(plan.close_denied, [old.shares[0].name.clone()], "bob may be connected");
}

#[test]
fn connections_end_when_less_is_allowed() {
    let old = desired(&[("alice", 10_000)]);
    let mut read_only = old.clone();
    read_only.shares[0].read_only = true;
    assert_eq!(plan(&read_only, &in_force(&old)).unwrap().close, [old.shares[0].name.clone()]);
    let mut gone = old.clone();
    gone.shares.clear();
    assert_eq!(plan(&gone, &in_force(&old)).unwrap().close, [old.shares[0].name.clone()]);
    let mut comment = old.clone();
    comment.shares[0].comment = Some("new".into());
    let plan = plan(&comment, &in_force(&old)).unwrap();
    assert!(plan.close.is_empty() && plan.close_denied.is_empty());
}

#[test]
fn accounts_of_others_are_never_touched() {
    let state = desired(&[("alice", 10_000)]);
    let message = |observed: &Observed| {
        let error = plan(&state, observed).unwrap_err();
        assert_eq!(error.kind, smbgw_api::v1::ErrorKind::Invalid);
        error.message
    };
    let empty = || in_force(&desired(&[]));
    let mut observed = empty();
    observed.accounts.users.push(account("alice", 1000, "Alice"));
    assert!(message(&observed).contains("not made for shares"));
    let mut observed = empty();
    observed.accounts.users.push(account("admin", 10_000, ""));
    assert!(message(&observed).contains("belongs to admin"));
    for (name, gid) in [("staff", 10_000), ("alice", 50)] {
        let mut observed = empty();
        observed.accounts.groups.push(group(name, gid, &[], false));
        assert!(message(&observed).contains("needs a group"));
    }
    let mut observed = empty();
    observed.accounts.users.push(account("human", 1000, "smbgw "));
    assert!(plan(&state, &observed).unwrap().remove.is_empty());
}

#[test]
fn rules_between_fields() {
    let message = |state: &DesiredState| check(state).unwrap_err().message;
    assert!(message(&desired(&[("a", 10_000), ("a", 10_001)])).contains("twice"));
    assert!(message(&desired(&[("a", 10_000), ("b", 10_000)])).contains("both"));
    assert!(message(&desired(&[("a", 999)])).contains("outside"));
    let mut state = desired(&[]);
    state.shares[0].users.push(UserName::parse("bob").unwrap());
    assert!(message(&state).contains("no user"));
    let mut state = desired(&[]);
    state.shares[0].comment = Some("a\nb".into());
    assert!(message(&state).contains("one line"));
    let mut state = desired(&[]);
    let mut twin = state.shares[0].clone();
    twin.name = ShareName::parse("X").unwrap();
    state.shares.push(twin);
    assert!(message(&state).contains("twice"));
}

/// Users, groups as (name, gid, members), and what the share says of who gets in.
fn grouped(users: &[(&str, u32)], groups: &[(&str, u32, &[&str])], share: &str) -> DesiredState {
    let mut state = desired(users);
    let groups: Vec<String> = groups
        .iter()
        .map(|(name, gid, members)| format!(r#"{{"name":"{name}","gid":{gid},"members":{members:?}}}"#))
        .collect();
    state.groups = serde_json::from_str(&format!("[{}]", groups.join(","))).unwrap();
    let base = r#""name":"x","comment":null,"read_only":false,"browseable":true"#;
    state.shares = serde_json::from_str(&format!("[{{{base},{share}}}]")).unwrap();
    state
}

const TWO: &[(&str, u32)] = &[("alice", 10_000), ("bob", 10_001)];
const STAFF: &str = r#""users":[],"groups":["staff"]"#;

fn names(users: &[UserName]) -> Vec<&str> {
    users.iter().map(UserName::as_str).collect()
}

#[test]
fn groups_come_change_and_go() {
    let old = grouped(TWO, &[("staff", 20_000, &["alice"]), ("gone", 20_001, &[])], STAFF);
    assert!(plan(&old, &in_force(&old)).unwrap().is_empty());
    let new = grouped(TWO, &[("staff", 20_000, &["alice", "bob"]), ("new", 20_002, &["bob"])], STAFF);
    let planned = plan(&new, &in_force(&old)).unwrap();
    let of = |groups: &[crate::accounts::groups::Wanted]| {
        groups.iter().map(|group| group.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of(&planned.groups.add), ["smb-new"]);
    assert_eq!(of(&planned.groups.members), ["smb-staff", "smb-new"]);
    assert_eq!(planned.groups.remove, ["smb-gone"]);
    // nobody loses anything, and smb.conf is the same
    assert!(planned.end.is_empty() && planned.close.is_empty() && planned.close_denied.is_empty());
    assert_eq!(planned.service, Service::Keep);
    let moved = grouped(TWO, &[("staff", 20_009, &["alice"]), ("gone", 20_001, &[])], STAFF);
    assert_eq!(plan(&moved, &in_force(&old)).unwrap().service, Service::Restart);
}

#[test]
fn sessions_end_of_those_whose_groups_give_less() {
    let groups: &[(&str, u32, &[&str])] = &[("staff", 20_000, &["alice", "bob"]), ("guests", 20_001, &[])];
    let share = r#""users":[],"groups":["staff"],"readers":["@guests"]"#;
    let old = grouped(TWO, groups, share);
    // bob leaves: smbd would go on with the token that he has
    let left = grouped(TWO, &[("staff", 20_000, &["alice"]), ("guests", 20_001, &[])], share);
    let planned = plan(&left, &in_force(&old)).unwrap();
    assert_eq!((names(&planned.end), planned.close_denied.len()), (vec!["bob"], 0));
    // bob becomes one who only reads
    let reads = grouped(TWO, &[("staff", 20_000, &["alice", "bob"]), ("guests", 20_001, &["bob"])], share);
    let planned = plan(&reads, &in_force(&old)).unwrap();
    assert_eq!((names(&planned.end), planned.close.len()), (vec!["bob"], 0));
    assert!(plan(&old, &in_force(&left)).unwrap().end.is_empty(), "joining gives more");
    // the list of the share changes: the connections do
    let narrower = grouped(TWO, groups, r#""users":["alice"],"readers":["@guests"]"#);
    let planned = plan(&narrower, &in_force(&old)).unwrap();
    assert_eq!((planned.end.len(), planned.close.len(), planned.close_denied.len()), (0, 0, 1));
    let readers = grouped(TWO, groups, r#""users":[],"groups":["staff"],"readers":["bob"]"#);
    let planned = plan(&readers, &in_force(&old)).unwrap();
    assert_eq!((planned.end.len(), planned.close.len(), planned.close_denied.len()), (0, 1, 0));
}

#[test]
fn groups_of_others_are_not_touched() {
    let state = grouped(TWO, &[("staff", 20_000, &[])], STAFF);
    let mut observed = in_force(&desired(TWO));
    observed.accounts.groups.push(group("smb-staff", 20_000, &[], false));
    assert!(plan(&state, &observed).unwrap_err().message.contains("is there already"));
    observed.accounts.groups.pop();
    observed.accounts.groups.push(group("video", 20_000, &[], false));
    assert!(plan(&state, &observed).unwrap_err().message.contains("video"));
    for (bad, word) in [
        (grouped(TWO, &[("a", 10_000, &[])], r#""users":[]"#), "own group of user alice"),
        (grouped(TWO, &[("a", 20_000, &["eve"])], r#""users":[]"#), "eve is no user"),
        (grouped(TWO, &[("a", 20_000, &[]), ("b", 20_000, &[])], r#""users":[]"#), "twice"),
        (grouped(TWO, &[("a", 99, &[])], r#""users":[]"#), "outside"),
        (grouped(TWO, &[], STAFF), "no group of it"),
        (grouped(TWO, &[], r#""users":[],"readers":["eve"]"#), "no user of the gateway"),
    ] {
        let error = plan(&bad, &in_force(&desired(TWO))).unwrap_err();
        assert!(error.message.contains(word), "{word}: {error}");
    }
}
