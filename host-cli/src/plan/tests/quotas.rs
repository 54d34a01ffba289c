//! Quotas of shares.

use super::*;
use crate::quota::{Lacking, Mechanism, QuotaFacts};

const LIMITED: &str =
    "{name: team, users: [{name: alice}], shares: [{name: team, path: /srv/alices, quota: 1G}]}";

fn with(limit: Option<u64>, used: u64) -> Observed {
    let mechanism = Ok(Mechanism::Btrfs { id: 256 });
    let facts = QuotaFacts { mechanism, limit, used, capacity: Some(10 << 30) };
    let path = HostPath::parse("/srv/alices").unwrap();
    Observed { quotas: BTreeMap::from([(path, facts)]), ..node() }
}

/// The node after a gateway with a quota was created there.
fn limited(used: u64) -> Observed {
    let mut observed = with(None, 0);
    let plan = planned(LIMITED, &observed).unwrap();
    let record = plan.steps.iter().rev().find_map(|step| match step {
        Step::WriteRecord(step) => Some(step.new.clone()),
        _ => None,
    });
    observed.records.push(record.unwrap());
    Observed { quotas: with(Some(1 << 30), used).quotas, ..observed }
}

fn steps(plan: &Plan) -> Vec<(Option<u64>, Option<u64>)> {
    let quota = |step: &Step| match step {
        Step::SetQuota(step) => Some((step.new, step.old)),
        _ => None,
    };
    plan.steps.iter().filter_map(quota).collect()
}

#[test]
fn a_limit_is_set_changed_removed_and_goes_with_its_share() {
    assert_eq!(steps(&planned(LIMITED, &with(None, 5)).unwrap()), [(Some(1 << 30), None)]);
    let running = GuestState::Running { pid: 1 };
    let observed = limited(5);
    let to = |quota: &str| changed(&LIMITED.replace("quota: 1G", quota), running, &observed).unwrap();
    assert_eq!(steps(&to("quota: 2G")), [(Some(2 << 30), Some(1 << 30))]);
    assert_eq!(steps(&to("grant: false")), [(None, Some(1 << 30))]);
    assert_eq!(steps(&to("quota: 2G, quota-mode: report")), [(None, Some(1 << 30))]);
    assert_eq!(to("quota: 1G").steps, []);
    let without = changed("{name: team, users: [{name: alice}]}", running, &observed).unwrap();
    assert_eq!(steps(&without), [(None, Some(1 << 30))]);
    let name = GatewayName::parse("team").unwrap();
    let deleted = delete::plan(&name, running, false, &observed, entropy()).unwrap();
    assert_eq!(steps(&deleted), [(None, Some(1 << 30))]);
}

#[test]
fn each_wrong_quota_has_its_own_error() {
    let code = |observed: &Observed| planned(LIMITED, observed).unwrap_err().code;
    assert_eq!(code(&with(None, 2 << 30)), "quota-below-usage");
    assert_eq!(code(&with(Some(5 << 30), 0)), "quota-foreign");
    let small = QuotaFacts { capacity: Some(1 << 20), ..with(None, 0).quotas.into_values().next().unwrap() };
    let path = HostPath::parse("/srv/alices").unwrap();
    assert_eq!(
        code(&Observed { quotas: BTreeMap::from([(path.clone(), small.clone())]), ..node() }),
        "quota-too-large"
    );
    let lacking = Err(Lacking { why: "no".into(), hint: "x".into() });
    let without = QuotaFacts { mechanism: lacking, ..small };
    assert_eq!(code(&Observed { quotas: BTreeMap::from([(path, without)]), ..node() }), "quota-unavailable");
    assert_eq!(code(&node()), "quota-unavailable");
}

#[test]
fn zfs_is_not_even_by_force_limited_below_what_is_there() {
    let forced = |mechanism: Mechanism| {
        let mut observed = with(None, 2 << 30);
        observed.quotas.values_mut().for_each(|facts| facts.mechanism = Ok(mechanism.clone()));
        let steps = crate::plan::quota::set(None, &spec(LIMITED), &observed, true);
        steps.map(|steps| steps.len()).map_err(|error| error.code)
    };
    assert_eq!(forced(Mechanism::Btrfs { id: 256 }), Ok(1));
    let dataset = "tank/team".to_owned();
    assert_eq!(forced(Mechanism::Zfs { dataset }), Err("quota-below-usage"));
}

#[test]
fn a_dataset_that_is_still_to_be_made_gets_one() {
    let path = HostPath::parse("/srv/alices").unwrap();
    let mut observed = node();
    observed.storage.get_mut(&path).unwrap().filesystem = "zfs".into();
    assert_eq!(steps(&planned(LIMITED, &observed).unwrap()), [(Some(1 << 30), None)]);
}

#[test]
fn one_that_is_only_reported_needs_no_file_system() {
    let yaml = LIMITED.replace("quota: 1G", "quota: 1G, quota-mode: report");
    assert_eq!(steps(&planned(&yaml, &node()).unwrap()), []);
}
