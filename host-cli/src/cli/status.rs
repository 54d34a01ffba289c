//! `status`

use std::process::ExitCode;

use smbgw_api::GatewayName;

use super::list::state_word;
use crate::operation::Context;
use crate::output::view::{ShareStatus, Status, UserStatus};
use crate::platform::GuestState;
use crate::record::Record;
use crate::{Result, record};

pub(super) fn run(context: &Context, name: &GatewayName) -> Result<ExitCode> {
    let record = context.platform.record(name)?.ok_or_else(|| record::missing(name))?;
    let guest = context.platform.guest_state(name)?;
    let mut status = Status {
        name: name.to_string(),
        mode: record.spec.mode.to_string(),
        state: state_word(&record, guest).to_owned(),
        ready: false,
        problems: Vec::new(),
        addresses: vec![record.guest.address()],
        template: record.guest.template.clone(),
        kernel: None,
        accelerator: None,
        disk: record.spec.disk.as_ref().map(|disk| disk.source.to_string()),
        samba: None,
        agent: None,
        uptime_s: None,
        sessions: None,
        open_files: None,
        memory_limit_bytes: record.guest.memory.map(smbgw_api::ByteSize::bytes),
        // a machine cannot have more than it was given
        memory_limit_enforced: record.guest.is_machine() || context.platform.limits_memory(),
        memory_resident_bytes: None,
        memory_pss_bytes: None,
        shares: shares(&record),
        users: users(&record),
    };
    if let GuestState::Running { .. } = guest {
        // the platform sees what the guest cannot say any more
        match context.platform.guest_details(name) {
            Ok(details) => {
                status.accelerator = details.accelerator;
                status.memory_resident_bytes = details.memory_resident_bytes;
                status.problems.extend(details.problems);
            }
            Err(error) => status.problems.push(error.chain()),
        }
        if let Err(error) = ask(context, &record, &mut status) {
            status.ready = false;
            status.problems.push(error.chain());
        }
    }
    context.output.data(&status);
    Ok(ExitCode::SUCCESS)
}

/// Shares as the record has them.
pub(super) fn shares(record: &Record) -> Vec<ShareStatus> {
    record
        .spec
        .shares
        .iter()
        .map(|share| ShareStatus {
            name: share.name.to_string(),
            path: share.location.to_string(),
            read_only: share.read_only,
            users: share.users.iter().map(ToString::to_string).collect(),
            groups: share.groups.iter().map(ToString::to_string).collect(),
            readers: share.readers.iter().map(ToString::to_string).collect(),
            total_bytes: None,
            available_bytes: None,
            tree_connects: None,
        })
        .collect()
}

/// Users as the record has them.
pub(super) fn users(record: &Record) -> Vec<UserStatus> {
    let user = |user: &smbgw_api::User| UserStatus {
        name: user.name.to_string(),
        uid: user.uid,
        groups: {
            let groups = record.spec.groups.iter().filter(|group| group.members.contains(&user.name));
            groups.map(|group| group.name.to_string()).collect()
        },
        has_password: None,
    };
    record.spec.users.iter().map(user).collect()
}

/// Fills in what the agent knows.
fn ask(context: &Context, record: &Record, status: &mut Status) -> Result<()> {
    let agent = context.world(std::collections::BTreeMap::default()).agent(record.name())?;
    let health = agent.health()?;
    let clean = |text: &str| text.chars().filter(|c| !c.is_control()).take(300).collect::<String>();
    status.ready = health.ready;
    status.problems.extend(health.problems.iter().map(|problem| clean(problem)));
    status.uptime_s = Some(health.uptime_s);
    let state = agent.state()?;
    status.samba = Some(clean(&state.samba_version));
    status.agent = Some(clean(&state.agent_version));
    status.kernel = state.kernel.as_deref().map(clean);
    if !state.addresses.is_empty() {
        status.addresses = state.addresses.iter().map(|address| clean(address)).collect();
    }
    let wanted = smbgw_api::v1::DesiredState::from(&record.spec).hash();
    if state.config_hash.as_deref() != Some(&wanted) {
        let name = record.name();
        status.problems.push(format!(
            "it does not run what it should: pve-smbgateway show {name} | pve-smbgateway apply -f -"
        ));
    }
    let metrics = agent.metrics()?;
    status.sessions = Some(metrics.sessions);
    status.open_files = Some(metrics.open_files);
    status.memory_pss_bytes = Some(metrics.pss_bytes);
    for share in &mut status.shares {
        if let Some(space) = metrics.shares.iter().find(|space| space.share == share.name) {
            share.total_bytes = Some(space.total_bytes);
            share.available_bytes = Some(space.available_bytes);
        }
        share.tree_connects = Some(metrics.tree_connects.get(&share.name).copied().unwrap_or(0));
    }
    for known in agent.users()? {
        if let Some(user) = status.users.iter_mut().find(|user| user.name == known.name.as_str()) {
            user.has_password = Some(known.has_password);
        }
    }
    Ok(())
}
