//! Running a plan: lock, journal, progress, audit; and what a crash leaves.
//!
//! * [`run`]: a plan, from its first step to its end or back
//! * [`recover`]: finishing what a crash or a failed undo left
//! * [`audit`]: who did what, when, with what result

pub mod audit;
mod progress;
pub mod recover;
pub mod who;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use secrecy::SecretString;
use smbgw_api::{GatewayName, UserName};
use smbgw_command::Interrupt;
use smbgw_journal::{Asked, Cause, Journal, OperationId, Outcome, UndoFailure};

use crate::kept_secrets::SecretStore;
use crate::output::Output;
use crate::paths::Paths;
use crate::plan::{Entropy, Plan};
use crate::platform::Platform;
use crate::world::{self, Joiner, World};
use crate::{Category, Error, Result};

/// What every verb works with.
#[derive(Clone)]
pub struct Context {
    /// Where gateways run.
    pub platform: Arc<dyn Platform>,
    /// Where things are.
    pub paths: Paths,
    /// Set by Ctrl-C.
    pub interrupt: Interrupt,
    /// What the person sees.
    pub output: Output,
    /// Who joins and leaves domains in this run.
    pub joiner: Option<Joiner>,
}

/// Passwords of a run.
pub type Secrets = BTreeMap<(GatewayName, UserName), SecretString>;

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Report {
    /// The operation; none when there was nothing to do.
    pub operation: Option<OperationId>,
    /// Time it took, in milliseconds.
    pub took_ms: u64,
}

impl Context {
    /// The journal.
    pub fn journal(&self) -> Journal {
        Journal::new(self.paths.operations())
    }

    /// Time and randomness for a plan.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn entropy(&self) -> Result<Entropy> {
        Ok(Entropy { now: world::now(), random: world::random()? })
    }

    /// The world that steps act on.
    pub fn world(&self, secrets: Secrets) -> World {
        World {
            platform: Arc::clone(&self.platform),
            interrupt: self.interrupt.clone(),
            secrets,
            joiner: self.joiner.clone(),
            kept_secrets: self.kept_secrets(),
        }
    }

    /// Secrets of computer accounts that outlive their gateways.
    pub fn kept_secrets(&self) -> SecretStore {
        SecretStore::in_directory(self.paths.secrets())
    }

    /// The same, with somebody who joins and leaves domains.
    #[must_use]
    pub fn with_joiner(&self, joiner: Option<Joiner>) -> Self {
        Self { joiner, ..self.clone() }
    }
}

/// Refuses to begin while an operation on the same target is unfinished: its undo would undo the new one's work.
///
/// # Errors
/// Code `unfinished-operation`.
pub fn refuse_unfinished(context: &Context, target: &str) -> Result<()> {
    for recorded in context.journal().list()?.into_iter().flatten() {
        if recorded.header.target == target && recorded.needs_recovery() {
            let id = &recorded.header.operation;
            return Err(Error::resource(
                "unfinished-operation",
                format!(
                    "an earlier {} of {target} was cut off and left its work half done",
                    recorded.header.verb
                ),
            )
            .hint(format!("finish it first: pve-smbgateway ops recover {id}")));
        }
    }
    Ok(())
}

/// Runs a plan. The caller holds the lock of the gateway.
///
/// # Errors
/// What made it fail, after all was taken back; category `Incomplete` when not all could be.
pub fn run(context: &Context, plan: Plan, secrets: Secrets) -> Result<Report> {
    let started = Instant::now();
    if plan.steps.is_empty() {
        return Ok(Report { operation: None, took_ms: 0 });
    }
    let entropy = context.entropy()?;
    let by = who::asks();
    let asked = Asked { verb: plan.verb, target: &plan.target, by: &by };
    let id = OperationId::new(entropy.now, entropy.random);
    let mut operation = context.journal().begin(id.clone(), asked, entropy.now, plan.steps)?;
    let mut observer = progress::Progress::new(context.output, &plan.target, operation.plan.len());
    let world = context.world(secrets);
    let outcome = smbgw_journal::run(&mut operation, &world, &world::now, &context.interrupt, &mut observer);
    let steps = operation.header.steps.iter().map(|step| step.label.clone()).collect();
    let result = conclude(outcome, &id);
    audit::write(
        context,
        &audit::Entry {
            time: world::now(),
            operation: id.to_string(),
            verb: plan.verb.to_owned(),
            target: plan.target.clone(),
            by,
            steps,
            result: audit::result_word(&result).to_owned(),
            error: result.as_ref().err().map(Error::chain),
        },
    );
    result.map(|()| Report { operation: Some(id), took_ms: started.elapsed().as_millis() as u64 })
}

/// An outcome as a result for the person.
fn conclude(outcome: Outcome<Error>, id: &OperationId) -> Result<()> {
    match outcome {
        Outcome::Done => Ok(()),
        Outcome::RolledBack { cause } => {
            let mut error = error_of(cause);
            error.operation = Some(id.to_string());
            Err(error)
        }
        Outcome::Incomplete { cause, undo_failures } => {
            let cause = cause.map(error_of);
            let mut error = incomplete(cause.as_ref(), &undo_failures, id);
            error.operation = Some(id.to_string());
            Err(match cause {
                Some(cause) => error.source(cause),
                None => error,
            })
        }
    }
}

fn error_of(cause: Cause<Error>) -> Error {
    match cause {
        Cause::Step { error, .. } => error,
        Cause::Interrupted => {
            Error::new(Category::Interrupted, "interrupted", "interrupted; all is as before")
        }
        Cause::Journal(error) => error.into(),
        Cause::Fault { step } => Error::internal(format!("a fault was asked for at {step}")),
    }
}

/// The error of an operation that left something behind. Says every command that mends it by hand.
fn incomplete(cause: Option<&Error>, failures: &[UndoFailure<Error>], id: &OperationId) -> Error {
    let mut message = match cause {
        Some(cause) => format!("{}; and ", cause.message),
        None => String::new(),
    };
    if failures.is_empty() {
        message.push_str("the rest of it could not be done; it cannot be taken back either");
    } else {
        let what: Vec<_> = failures
            .iter()
            .map(|f| match &f.error {
                Some(error) => format!("{} ({})", f.step, error.chain()),
                None => f.step.clone(),
            })
            .collect();
        message.push_str(&format!("these steps could not be taken back: {}", what.join("; ")));
    }
    let by_hand: Vec<_> = failures.iter().flat_map(|f| f.by_hand.iter().map(String::as_str)).collect();
    let mut hint = format!("mend what is in the way, then: pve-smbgateway ops recover {id}");
    if !by_hand.is_empty() {
        hint.push_str(&format!("; or by hand: {}", by_hand.join("; ")));
    }
    Error::new(Category::Incomplete, "incomplete", message).hint(hint)
}
