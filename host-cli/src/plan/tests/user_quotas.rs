//! Quotas of users and groups.

use super::*;
use crate::quota::Lacking;
use crate::quota::owner::{Holding, Owner, OwnerFacts, Realm};

const LIMITED: &str = "{name: team, users: [{name: alice, uid: 10000}], groups: [{name: staff, gid: 20000}],
    shares: [{name: team, path: /srv/alices, user-quotas: {alice: 1G, '@staff': 2G}}]}";
const ALICE: Owner = Owner::User(10_000);
const STAFF: Owner = Owner::Group(20_000);

/// The node, where these have something.
fn with(observed: Observed, holdings: &[(Owner, Option<u64>, u64)]) -> Observed {
    let facts = OwnerFacts {
        realm: Ok(Realm::FileSystem { mount: "/srv".to_owned(), xfs: false }),
        holdings: holdings
            .iter()
            .map(|(owner, limit, used)| (*owner, Holding { limit: *limit, used: *used }))
            .collect(),
        capacity: Some(10 << 30),
    };
    let paths = ["/srv/alices", "/srv/all"].map(|path| (HostPath::parse(path).unwrap(), facts.clone()));
    let storage = paths.iter().map(|(path, _)| (path.clone(), ext4(0, 0o777))).collect();
    Observed { owners: paths.into(), storage, ..observed }
}

/// With a gateway of this spec, whose limits are in force.
fn limited(yaml: &str) -> Observed {
    let mut observed = with(node(), &[]);
    let plan = planned(yaml, &observed).unwrap();
    let record = plan.steps.iter().rev().find_map(|step| match step {
        Step::WriteRecord(step) => Some(step.new.clone()),
        _ => None,
    });
    observed.records.push(record.unwrap());
    with(observed, &[(ALICE, Some(1 << 30), 0), (STAFF, Some(2 << 30), 0)])
}

type Change = (Owner, Option<u64>, Option<u64>);

fn steps(plan: &Plan) -> Vec<Change> {
    let quota = |step: &Step| match step {
        Step::SetUserQuota(step) => Some((step.owner, step.new, step.old)),
        _ => None,
    };
    plan.steps.iter().filter_map(quota).collect()
}

#[test]
fn limits_are_set_changed_and_go_with_what_wanted_them() {
    let both = [(ALICE, Some(1 << 30), None), (STAFF, Some(2 << 30), None)];
    assert_eq!(steps(&planned(LIMITED, &with(node(), &[(ALICE, None, 5)])).unwrap()), both);
    let observed = limited(LIMITED);
    let running = GuestState::Running { pid: 1 };
    let to = |old: &str, new: &str| steps(&changed(&LIMITED.replace(old, new), running, &observed).unwrap());
    assert_eq!(to("", ""), []);
    assert_eq!(to("alice: 1G", "alice: 3G"), [(ALICE, Some(3 << 30), Some(1 << 30))]);
    assert_eq!(to("alice: 1G, ", ""), [(ALICE, None, Some(1 << 30))]);
    let gone = [(ALICE, None, Some(1 << 30)), (STAFF, None, Some(2 << 30))];
    assert_eq!(to(", user-quotas: {alice: 1G, '@staff': 2G}", ""), gone);
    let name = GatewayName::parse("team").unwrap();
    assert_eq!(steps(&delete::plan(&name, running, false, &observed, entropy()).unwrap()), gone);
}

#[test]
fn what_is_on_one_file_system_is_limited_once() {
    let second = LIMITED.replace("}}]}", "}}, {name: all, path: /srv/all, user-quotas: {alice: 1G}}]}");
    assert_eq!(steps(&planned(&second, &with(node(), &[])).unwrap()).len(), 2);
    let other = second.replace("{alice: 1G}}]}", "{alice: 5G}}]}");
    let error = planned(&other, &with(node(), &[])).unwrap_err();
    assert_eq!(error.code, "quota-conflict");
    assert!(error.message.contains("the file system at /srv"), "{}", error.message);
    // one of two shares goes: the limit stays
    let observed = limited(&second);
    let running = GuestState::Running { pid: 1 };
    assert_eq!(steps(&changed(LIMITED, running, &observed).unwrap()), []);
}

#[test]
fn a_limit_that_another_gateway_wants_as_well_stays() {
    let observed = limited(LIMITED);
    let second = "{name: second, users: [{name: alice, uid: 10000}], shares: [{name: all, path: /srv/all, user-quotas: {alice: SIZE}}]}";
    let error = planned(&second.replace("SIZE", "5G"), &observed).unwrap_err();
    assert_eq!(error.code, "quota-conflict");
    let plan = planned(&second.replace("SIZE", "1G"), &observed).unwrap();
    assert_eq!(steps(&plan), []);
    let record = plan.steps.iter().rev().find_map(|step| match step {
        Step::WriteRecord(step) => Some(step.new.clone()),
        _ => None,
    });
    let mut observed = observed;
    observed.records.push(record.unwrap());
    let name = GatewayName::parse("team").unwrap();
    let deleted = delete::plan(&name, GuestState::Running { pid: 1 }, false, &observed, entropy()).unwrap();
    assert_eq!(steps(&deleted), [(STAFF, None, Some(2 << 30))]);
}

#[test]
fn each_wrong_quota_has_its_own_error() {
    let code = |observed: &Observed| planned(LIMITED, observed).unwrap_err().code;
    assert_eq!(code(&node()), "quota-unavailable");
    assert_eq!(code(&with(node(), &[(ALICE, None, 2 << 30)])), "quota-below-usage");
    assert_eq!(code(&with(node(), &[(ALICE, Some(5 << 30), 0)])), "quota-foreign");
    let mut small = with(node(), &[]);
    small.owners.values_mut().for_each(|facts| facts.capacity = Some(1 << 20));
    assert_eq!(code(&small), "quota-too-large");
    let lacking = Lacking { why: "no".into(), hint: "x".into() };
    small.owners.values_mut().for_each(|facts| facts.realm = Err(lacking.clone()));
    assert_eq!(code(&small), "quota-unavailable");
}
