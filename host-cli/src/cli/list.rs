//! `list`

use std::process::ExitCode;

use crate::Result;
use crate::operation::Context;
use crate::output::view::{GatewayList, GatewayRow};
use crate::platform::GuestState;
use crate::record::{Record, RecordState};

pub(super) fn run(context: &Context) -> Result<ExitCode> {
    let mut gateways = Vec::new();
    let records = context.platform.records()?;
    let states = context.platform.guest_states(&records)?;
    for (record, state) in records.iter().zip(states) {
        let state = state_word(record, state);
        gateways.push(GatewayRow {
            name: record.name().to_string(),
            mode: record.spec.mode.to_string(),
            state: state.to_owned(),
            address: record.guest.address(),
            shares: record.spec.shares.iter().map(|share| share.name.to_string()).collect(),
            template: record.guest.template.clone(),
        });
    }
    context.output.data(&GatewayList { gateways });
    Ok(ExitCode::SUCCESS)
}

/// The state of a gateway in a word.
pub(super) fn state_word(record: &Record, guest: GuestState) -> &'static str {
    match (record.state, guest) {
        (RecordState::Creating, _) => "unfinished",
        (_, GuestState::Absent) => "missing",
        (_, GuestState::Stopped) => "stopped",
        (_, GuestState::Running { .. }) => "running",
    }
}
