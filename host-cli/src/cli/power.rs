//! `start` and `stop`

use std::process::ExitCode;

use smbgw_api::GatewayName;

use super::args::SelectArgs;
use crate::operation::{self, Context, Secrets};
use crate::output::view::{ResultRow, Results};
use crate::plan::Plan;
use crate::platform::{ByHand, GuestState};
use crate::record::{Record, RecordState};
use crate::step::{AwaitAgent, EnsureNetwork, Ready, Resume, Start, Step, Stop};
use crate::{Result, record};

pub(super) fn start(context: &Context, args: SelectArgs) -> Result<ExitCode> {
    let wanted = |record: &Record| record.spec.onboot && record.state == RecordState::Active;
    each(context, "start", args, wanted, |record, state| {
        if let GuestState::Running { .. } = state {
            let details = context.platform.guest_details(record.name());
            return if details.is_ok_and(|details| details.stands_still) {
                ("resumed", vec![Resume { gateway: record.name().clone() }.into()])
            } else {
                ("running already", Vec::new())
            };
        }
        let name = record.name().clone();
        let by_hand = context.platform.by_hand(ByHand::Running(&record.guest));
        let network = EnsureNetwork::of(&record.guest).map(Step::from);
        let steps = [
            Start { guest: record.guest.clone(), by_hand }.into(),
            AwaitAgent::of(&record.guest).into(),
            Ready { gateway: name }.into(),
        ];
        ("started", network.into_iter().chain(steps).collect())
    })
}

pub(super) fn stop(context: &Context, args: SelectArgs) -> Result<ExitCode> {
    each(
        context,
        "stop",
        args,
        |_| true,
        |record, state| match state {
            GuestState::Running { .. } => {
                ("stopped", vec![Stop { guest: record.guest.clone(), ran: true }.into()])
            }
            _ => ("stopped already", Vec::new()),
        },
    )
}

fn each(
    context: &Context,
    verb: &'static str,
    args: SelectArgs,
    of_all: impl Fn(&Record) -> bool,
    steps: impl Fn(&Record, GuestState) -> (&'static str, Vec<Step>),
) -> Result<ExitCode> {
    let records = match args.name {
        Some(name) => vec![context.platform.record(&name)?.ok_or_else(|| record::missing(&name))?],
        None => {
            let mut here = Vec::new();
            for record in context.platform.records()?.into_iter().filter(of_all) {
                // other nodes see to their own
                if context.platform.is_here(&record)? {
                    here.push(record);
                }
            }
            here
        }
    };
    let mut results = Results { results: Vec::new(), changed: false };
    let mut code = 0;
    for record in &records {
        let row = match one(context, verb, record.name(), args.dry.dry_run, &steps) {
            Ok((row, changed)) => {
                results.changed |= changed;
                row
            }
            Err(error) => {
                code = code.max(error.category.exit_code());
                ResultRow::failed(record.name().to_string(), &error)
            }
        };
        results.results.push(row);
    }
    context.output.data(&results);
    Ok(ExitCode::from(code))
}

fn one(
    context: &Context,
    verb: &'static str,
    name: &GatewayName,
    dry_run: bool,
    steps: &impl Fn(&Record, GuestState) -> (&'static str, Vec<Step>),
) -> Result<(ResultRow, bool)> {
    let _lock = context.platform.lock(name)?;
    operation::refuse_unfinished(context, name.as_str())?;
    let record = context.platform.record(name)?.ok_or_else(|| record::missing(name))?;
    let (action, steps) = steps(&record, context.platform.guest_state(name)?);
    let changes = !steps.is_empty();
    let plan = Plan { verb, target: name.to_string(), steps, notes: Vec::new(), details: Vec::new() };
    if dry_run && changes {
        let row = ResultRow::done(name.to_string(), format!("would be {action}"), 0);
        return Ok((ResultRow { steps: super::dry(&plan).steps, ..row }, false));
    }
    let report = operation::run(context, plan, Secrets::new())?;
    Ok((ResultRow::done(name.to_string(), action, report.took_ms), changes))
}
