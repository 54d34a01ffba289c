//! Deleting a gateway. Its data stays.

use smbgw_api::{GatewayName, Share};

use super::change::revocations;
use super::{Entropy, Observed, Plan};
use crate::Result;
use crate::platform::GuestState;
use crate::record::Record;
use crate::step::{ForgetSecrets, LeaveDomain, Purge, ReleaseDisk, RemoveRecord, Retire, Step, Stop};

/// Plans a deletion; with `keep_account` its computer account stays in its domain. Until its last step all can be taken back.
///
/// # Errors
/// Code `no-such-gateway`.
pub fn plan(
    name: &GatewayName,
    running: GuestState,
    keep_account: bool,
    observed: &Observed,
    entropy: Entropy,
) -> Result<Plan> {
    let record = observed.record(name)?;
    let ticket = format!("{name}-{}", entropy.ticket());
    let mut steps: Vec<Step> = Vec::new();
    let is_running = matches!(running, GuestState::Running { .. });
    let mut stays = Vec::new();
    let mut without = record.spec.clone();
    without.shares.clear();
    if is_running {
        steps.extend(super::domain::revocations(&record.spec, &without));
    }
    if let Some(domain) = &record.spec.domain {
        let realm = domain.realm.clone();
        if keep_account || !is_running {
            stays.push(format!(
                "the computer account {}$ stays in {realm}: a gateway of the same name takes it over",
                name.as_str().to_ascii_uppercase()
            ));
        } else {
            steps.push(LeaveDomain { gateway: name.clone(), realm, keep_account }.into());
            steps.push(ForgetSecrets { gateway: name.clone() }.into());
        }
    }
    steps.extend([
        Stop { guest: record.guest.clone(), ran: is_running }.into(),
        Retire { gateway: name.clone(), ticket: ticket.clone() }.into(),
    ]);
    if record.spec.disk.is_some() {
        steps.push(ReleaseDisk { guest: record.guest.clone() }.into());
    }
    steps.extend(super::quota::lifted(&record.spec, &without, observed));
    steps.extend(super::user_quota::lifted(&record.spec, &without, observed));
    steps.extend(revocations(record, &Record { spec: without, ..record.clone() }));
    steps.extend(super::ids::keep(record, None, observed).map(Step::from));
    steps.push(RemoveRecord { old: record.clone() }.into());
    steps.push(Purge { gateway: name.clone(), ticket, network: record.guest.network.clone() }.into());
    let data = record.spec.shares.iter().filter_map(Share::directory).map(ToString::to_string);
    let disk = record.spec.disk.iter().map(|disk| disk.source.to_string());
    let notes = data.chain(disk).map(|place| format!("the data in {place} stays as it is"));
    let notes = notes.chain(stays).collect();
    Ok(Plan { verb: "delete", target: name.to_string(), steps, notes, details: Vec::new() })
}
