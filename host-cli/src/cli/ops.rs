//! `ops`

use std::process::ExitCode;

use smbgw_journal::{OperationId, OperationResult, Recorded, StepStatus};

use super::args::OpsVerb;
use crate::operation::Context;
use crate::operation::recover::{self, Recovery};
use crate::output::view::{
    Changed, DryPlan, DryStep, OperationList, OperationRow, OperationView, ResultRow, Results, StepRow,
};
use crate::{Result, world};

pub(super) fn run(context: &Context, verb: OpsVerb) -> Result<ExitCode> {
    match verb {
        OpsVerb::List => list(context),
        OpsVerb::Show { id } => show(context, &id),
        OpsVerb::Recover { id, dry } if dry.dry_run => would_recover(context, id.as_ref()),
        OpsVerb::Rollback { id, dry } if dry.dry_run => would_undo(context, &id),
        OpsVerb::Recover { id: Some(id), .. } => {
            let recovery = recover::recover(context, &id)?;
            Ok(said(context, &id, &recovery))
        }
        OpsVerb::Recover { id: None, .. } => recover_all(context),
        OpsVerb::Rollback { id, .. } => {
            let recovery = recover::rollback(context, &id)?;
            Ok(said(context, &id, &recovery))
        }
        OpsVerb::Clean { older_than, dry } => clean(context, older_than, dry.dry_run),
    }
}

/// What a recovery would go on with, or take back.
fn would_recover(context: &Context, id: Option<&OperationId>) -> Result<ExitCode> {
    let mut results = Results { results: Vec::new(), changed: false };
    for recorded in recover::pending(context)? {
        if id.is_none_or(|id| *id == recorded.header.operation) {
            let name = format!("{} {}", recorded.header.verb, recorded.header.target);
            results.results.push(ResultRow::done(name, "would be finished or taken back", 0));
        }
    }
    context.output.data(&results);
    Ok(ExitCode::SUCCESS)
}

/// The steps that a rollback would take back, last first.
fn would_undo(context: &Context, id: &OperationId) -> Result<ExitCode> {
    let recorded = context.journal().read(id)?;
    let steps = recorded.header.steps.iter().zip(&recorded.steps).rev();
    let steps = steps.filter(|(_, status)| status.needs_undo()).map(|(step, _)| DryStep {
        label: step.label.clone(),
        text: format!("undo: {}", step.text),
        commits: false,
    });
    context.output.data(&DryPlan {
        verb: "rollback".to_owned(),
        target: recorded.header.target.clone(),
        steps: steps.collect(),
        notes: Vec::new(),
    });
    Ok(ExitCode::SUCCESS)
}

fn word(recovery: &Recovery) -> &'static str {
    match recovery {
        Recovery::Finished => "finished",
        Recovery::RolledBack => "rolled back",
    }
}

fn said(context: &Context, id: &OperationId, recovery: &Recovery) -> ExitCode {
    context.output.data(&Changed {
        name: id.to_string(),
        action: word(recovery).to_owned(),
        operation: None,
        took_ms: 0,
        address: None,
        notes: Vec::new(),
    });
    ExitCode::SUCCESS
}

fn recover_all(context: &Context) -> Result<ExitCode> {
    context.platform.discard_partial_templates()?;
    let mut results = Results { results: Vec::new(), changed: false };
    let mut code = 0;
    for recorded in recover::pending(context)? {
        let name = format!("{} {}", recorded.header.verb, recorded.header.target);
        let row = match recover::recover(context, &recorded.header.operation) {
            Ok(recovery) => {
                results.changed = true;
                ResultRow::done(name, word(&recovery), 0)
            }
            Err(error) => {
                code = code.max(error.category.exit_code());
                ResultRow::failed(name, &error)
            }
        };
        results.results.push(row);
    }
    context.output.data(&results);
    Ok(ExitCode::from(code))
}

fn row(recorded: &Recorded) -> OperationRow {
    let state = match (recorded.running, recorded.result) {
        (true, _) => "running".to_owned(),
        (false, Some(result)) => result.to_string(),
        (false, None) => "cut off".to_owned(),
    };
    OperationRow {
        id: recorded.header.operation.to_string(),
        started: recorded.header.started.to_string(),
        verb: recorded.header.verb.clone(),
        target: recorded.header.target.clone(),
        by: recorded.header.by.clone(),
        state,
    }
}

fn list(context: &Context) -> Result<ExitCode> {
    let mut operations = Vec::new();
    for recorded in context.journal().list()? {
        match recorded {
            Ok(recorded) => operations.push(row(&recorded)),
            Err(error) => context.output.talk(&format!("warning: {error}")),
        }
    }
    context.output.data(&OperationList { operations });
    Ok(ExitCode::SUCCESS)
}

fn show(context: &Context, id: &OperationId) -> Result<ExitCode> {
    let recorded = context.journal().read(id)?;
    let status = |status: &StepStatus| match status {
        StepStatus::NeverStarted => "not begun",
        StepStatus::Started => "begun",
        StepStatus::Done => "done",
        StepStatus::Failed => "failed",
        StepStatus::UndoStarted => "undo begun",
        StepStatus::Undone => "taken back",
        StepStatus::UndoFailed => "undo failed",
    };
    let steps = recorded
        .header
        .steps
        .iter()
        .zip(&recorded.steps)
        .map(|(step, at)| StepRow {
            label: step.label.clone(),
            text: step.text.clone(),
            status: status(at).to_owned(),
            by_hand: step.by_hand.clone(),
        })
        .collect();
    let cause = recorded.cause().map(str::to_owned);
    context.output.data(&OperationView { operation: row(&recorded), steps, cause });
    Ok(ExitCode::SUCCESS)
}

fn clean(context: &Context, older_than_days: u32, dry_run: bool) -> Result<ExitCode> {
    let journal = context.journal();
    let limit = world::now().as_second() - i64::from(older_than_days) * 86_400;
    let mut results = Results { results: Vec::new(), changed: false };
    for recorded in journal.list()?.into_iter().flatten() {
        let over = matches!(recorded.result, Some(OperationResult::Done | OperationResult::RolledBack));
        if over && !recorded.running && recorded.header.started.as_second() <= limit {
            if !dry_run {
                journal.remove(&recorded.header.operation)?;
                results.changed = true;
            }
            let action = if dry_run { "would be removed" } else { "removed" };
            results.results.push(ResultRow::done(recorded.header.operation.to_string(), action, 0));
        }
    }
    context.output.data(&results);
    Ok(ExitCode::SUCCESS)
}
