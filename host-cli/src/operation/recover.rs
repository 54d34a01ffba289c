//! Finishing what a crash, a `kill -9` or a failed undo left, and taking back what was done.

use smbgw_api::GatewayName;
use smbgw_journal::{OperationId, OperationResult, Outcome, Recorded, StepStatus};

use super::{Context, audit, conclude, progress, who};
use crate::platform::Lock;
use crate::step::Step;
use crate::world;
use crate::{Error, Result};

/// What a recovery came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovery {
    /// Went on to its end.
    Finished,
    /// Took all back.
    RolledBack,
}

/// Operations that need it, oldest first.
///
/// # Errors
/// When the journal cannot be listed.
pub fn pending(context: &Context) -> Result<Vec<Recorded>> {
    let mut pending = Vec::new();
    for recorded in context.journal().list()? {
        let recorded = recorded?;
        if recorded.needs_recovery() {
            pending.push(recorded);
        }
    }
    // the newest first: what was done last is taken back first
    pending.reverse();
    Ok(pending)
}

/// Finishes one operation.
///
/// # Errors
/// Category `Incomplete` when something could not be done or taken back.
pub fn recover(context: &Context, id: &OperationId) -> Result<Recovery> {
    let recorded = context.journal().read(id)?;
    if recorded.running {
        return Err(Error::resource("operation-running", format!("operation {id} is still running")));
    }
    if !recorded.needs_recovery() {
        return Err(Error::usage(
            "nothing-to-recover",
            format!("operation {id} is over: nothing is left of it"),
        ));
    }
    let _lock = lock(context, &recorded)?;
    finish(context, id)
}

/// Takes an operation back: an unfinished one, or one that is done and the last of its gateway.
///
/// # Errors
/// When it cannot be taken back any more.
pub fn rollback(context: &Context, id: &OperationId) -> Result<Recovery> {
    let journal = context.journal();
    let recorded = journal.read(id)?;
    let steps = journal.take_over::<Step>(id)?;
    let committed = steps
        .plan
        .iter()
        .zip(&steps.steps)
        .any(|(step, status)| smbgw_journal::Step::commits(step) && status.needs_undo());
    drop(steps);
    if committed {
        return Err(Error::resource("no-way-back", format!("operation {id} is past its point of no return"))
            .hint(format!("pve-smbgateway ops recover {id} goes on to its end")));
    }
    if recorded.result == Some(OperationResult::RolledBack) {
        return Err(Error::usage("nothing-to-roll-back", format!("operation {id} was rolled back already")));
    }
    let later = journal.list()?.into_iter().flatten().any(|other| {
        other.header.target == recorded.header.target
            && other.header.operation > *id
            && other.result != Some(OperationResult::RolledBack)
    });
    if later {
        return Err(Error::resource(
            "not-the-last",
            format!("a later operation on {} builds on {id}", recorded.header.target),
        )
        .hint("take the later ones back first: pve-smbgateway ops list"));
    }
    let _lock = lock(context, &recorded)?;
    undo(context, id)
}

fn lock(context: &Context, recorded: &Recorded) -> Result<Option<Lock>> {
    // operations on templates have no gateway
    GatewayName::parse(&recorded.header.target).ok().map(|name| context.platform.lock(&name)).transpose()
}

fn finish(context: &Context, id: &OperationId) -> Result<Recovery> {
    with_operation(context, id, "recover", |operation, world, observer| {
        smbgw_journal::recover(operation, world, &world::now, observer)
    })
}

fn undo(context: &Context, id: &OperationId) -> Result<Recovery> {
    with_operation(context, id, "rollback", |operation, world, observer| {
        smbgw_journal::rollback(operation, world, &world::now, observer)
    })
}

fn with_operation(
    context: &Context,
    id: &OperationId,
    verb: &str,
    act: impl FnOnce(
        &mut smbgw_journal::Operation<Step>,
        &world::World,
        &mut dyn smbgw_journal::Observer<Step>,
    ) -> Outcome<Error>,
) -> Result<Recovery> {
    let mut operation = context.journal().take_over::<Step>(id)?;
    let target = operation.header.target.clone();
    let started = operation.steps.iter().filter(|status| **status != StepStatus::NeverStarted).count();
    context.output.talk(&format!(
        "{target}: {verb} of `{}` from {} ({started} of {} steps had begun)",
        operation.header.verb,
        operation.header.started,
        operation.plan.len()
    ));
    let mut observer = progress::Progress::new(context.output, &target, operation.plan.len());
    let world = context.world(super::Secrets::new());
    let outcome = act(&mut operation, &world, &mut observer);
    let recovery = match &outcome {
        Outcome::Done => Recovery::Finished,
        _ => Recovery::RolledBack,
    };
    let result = match outcome {
        // taking back is what was asked for
        Outcome::RolledBack { .. } => Ok(()),
        other => conclude(other, id),
    };
    audit::write(
        context,
        &audit::Entry {
            time: world::now(),
            operation: id.to_string(),
            verb: format!("{verb} {}", operation.header.verb),
            target,
            by: who::asks(),
            steps: operation.header.steps.iter().map(|step| step.label.clone()).collect(),
            result: match (&result, &recovery) {
                (Err(_), _) => "incomplete",
                (Ok(()), Recovery::Finished) => "done",
                (Ok(()), Recovery::RolledBack) => "rolled-back",
            }
            .to_owned(),
            error: result.as_ref().err().map(Error::chain),
        },
    );
    result.map(|()| recovery)
}
