//! Running a plan, undoing it, and finishing what a crash left.

use jiff::Timestamp;
use smbgw_command::Interrupt;

use crate::faults::{self, Point};
use crate::{Event, JournalError, Operation, OperationResult, Step, StepStatus};

/// Told what happens, for progress lines. Nothing it does can change the course.
pub trait Observer<S: Step> {
    /// A step is about to act.
    fn starting(&mut self, _index: usize, _step: &S) {}
    /// A step succeeded.
    fn done(&mut self, _index: usize, _step: &S) {}
    /// A step failed; undoing begins (or, past the point of no return, the operation stops).
    fn failed(&mut self, _index: usize, _step: &S, _error: &S::Error) {}
    /// An undo is about to act.
    fn undoing(&mut self, _index: usize, _step: &S) {}
    /// An undo failed; the others go on.
    fn undo_failed(&mut self, _index: usize, _step: &S, _error: &S::Error) {}
}

/// Tells nobody.
#[derive(Debug, Default)]
pub struct NoObserver;
impl<S: Step> Observer<S> for NoObserver {}

/// An undo that failed.
#[derive(Debug)]
pub struct UndoFailure<E> {
    /// Label of its step.
    pub step: String,
    /// Why; `None` when the journal itself could not be written.
    pub error: Option<E>,
    /// What a person runs to take the step back.
    pub by_hand: Vec<String>,
}

/// How a run ended.
#[derive(Debug)]
pub enum Outcome<E> {
    /// All steps succeeded.
    Done,
    /// Something failed; the world is as before.
    RolledBack {
        /// What failed.
        cause: Cause<E>,
    },
    /// Something failed, and the world is not as before.
    Incomplete {
        /// What failed first; `None` in a recovery.
        cause: Option<Cause<E>>,
        /// Undos that failed; empty when a step past the point of no return failed.
        undo_failures: Vec<UndoFailure<E>>,
    },
}

/// What made an operation fail.
#[derive(Debug)]
pub enum Cause<E> {
    /// A step.
    Step {
        /// Its label.
        step: String,
        /// Its error.
        error: E,
    },
    /// The person, by Ctrl-C.
    Interrupted,
    /// The journal could not be written.
    Journal(JournalError),
    /// A fault that a test asked for.
    Fault {
        /// Label of the step.
        step: String,
    },
}

/// Runs a plan from its first step. The interrupt is looked at between steps, and cleared before undoing, so that
/// the undo itself is not interrupted.
pub fn run<S: Step>(
    operation: &mut Operation<S>,
    world: &S::World,
    clock: &dyn Fn() -> Timestamp,
    interrupt: &Interrupt,
    observer: &mut dyn Observer<S>,
) -> Outcome<S::Error> {
    match forward(operation, world, clock, interrupt, observer) {
        Ok(()) => finish(operation, clock, Outcome::Done, OperationResult::Done),
        Err(failure) => {
            interrupt.clear();
            if failure.committed {
                let outcome = Outcome::Incomplete { cause: Some(failure.cause), undo_failures: Vec::new() };
                return finish(operation, clock, outcome, OperationResult::Incomplete);
            }
            let undo_failures = backward(operation, world, clock, observer);
            if undo_failures.is_empty() {
                let outcome = Outcome::RolledBack { cause: failure.cause };
                return finish(operation, clock, outcome, OperationResult::RolledBack);
            }
            let outcome = Outcome::Incomplete { cause: Some(failure.cause), undo_failures };
            finish(operation, clock, outcome, OperationResult::Incomplete)
        }
    }
}

/// Finishes an operation that a crash, a kill or a failed undo left behind: goes on when it was past the point of no
/// return, undoes otherwise. [`Outcome::Done`] means that it went on to its end; a clean undo is
/// [`Outcome::RolledBack`] with [`Cause::Interrupted`].
pub fn recover<S: Step>(
    operation: &mut Operation<S>,
    world: &S::World,
    clock: &dyn Fn() -> Timestamp,
    observer: &mut dyn Observer<S>,
) -> Outcome<S::Error> {
    let committed = |(step, status): (&S, &StepStatus)| step.commits() && status.needs_undo();
    let finished = operation.steps.iter().all(|status| *status == StepStatus::Done);
    if finished || operation.plan.iter().zip(&operation.steps).any(committed) {
        return match forward(operation, world, clock, &Interrupt::new(), observer) {
            Ok(()) => finish(operation, clock, Outcome::Done, OperationResult::Done),
            Err(failure) => {
                let outcome = Outcome::Incomplete { cause: Some(failure.cause), undo_failures: Vec::new() };
                finish(operation, clock, outcome, OperationResult::Incomplete)
            }
        };
    }
    rollback(operation, world, clock, observer)
}

/// Takes back all that an operation did, whether it is over or not. The caller makes sure that it is not past the
/// point of no return, and that nothing builds on it.
pub fn rollback<S: Step>(
    operation: &mut Operation<S>,
    world: &S::World,
    clock: &dyn Fn() -> Timestamp,
    observer: &mut dyn Observer<S>,
) -> Outcome<S::Error> {
    let undo_failures = backward(operation, world, clock, observer);
    if undo_failures.is_empty() {
        let outcome = Outcome::RolledBack { cause: Cause::Interrupted };
        finish(operation, clock, outcome, OperationResult::RolledBack)
    } else {
        finish(
            operation,
            clock,
            Outcome::Incomplete { cause: None, undo_failures },
            OperationResult::Incomplete,
        )
    }
}

struct Failure<E> {
    cause: Cause<E>,
    committed: bool,
}

fn forward<S: Step>(
    operation: &mut Operation<S>,
    world: &S::World,
    clock: &dyn Fn() -> Timestamp,
    interrupt: &Interrupt,
    observer: &mut dyn Observer<S>,
) -> Result<(), Failure<S::Error>> {
    let mut committed = false;
    for index in 0..operation.plan.len() {
        let label = operation.plan[index].label();
        committed |= operation.plan[index].commits();
        if operation.steps[index] == StepStatus::Done {
            continue;
        }
        if interrupt.is_set() && !committed {
            return Err(Failure { cause: Cause::Interrupted, committed: false });
        }
        let journal = |error| Failure { cause: Cause::Journal(error), committed };
        operation.record(index, Event::Started, clock()).map_err(journal)?;
        if faults::strikes(Point::KillBefore, &label) {
            faults::die();
        }
        let step = &operation.plan[index];
        observer.starting(index, step);
        let mut result = step.perform(world);
        if faults::doubles() && result.is_ok() {
            result = step.perform(world);
        }
        if faults::strikes(Point::KillAfter, &label) {
            faults::die();
        }
        match result {
            Ok(()) if faults::strikes(Point::Fail, &label) => {
                operation
                    .record(index, Event::Failed { error: "a fault".into() }, clock())
                    .map_err(journal)?;
                return Err(Failure { cause: Cause::Fault { step: label }, committed });
            }
            Ok(()) => {
                observer.done(index, step);
                operation.record(index, Event::Done, clock()).map_err(journal)?;
            }
            Err(error) => {
                observer.failed(index, step, &error);
                // the step's own error matters more than one of the journal
                let noted = operation.record(index, Event::Failed { error: chain(&error) }, clock());
                if let Err(error) = noted {
                    tracing::warn!(error = %chain(&error), "could not note a failure");
                }
                let cause =
                    if interrupt.is_set() { Cause::Interrupted } else { Cause::Step { step: label, error } };
                return Err(Failure { cause, committed });
            }
        }
    }
    Ok(())
}

fn backward<S: Step>(
    operation: &mut Operation<S>,
    world: &S::World,
    clock: &dyn Fn() -> Timestamp,
    observer: &mut dyn Observer<S>,
) -> Vec<UndoFailure<S::Error>> {
    let mut failures = Vec::new();
    for index in (0..operation.plan.len()).rev() {
        if !operation.steps[index].needs_undo() {
            continue;
        }
        // a full disk must not stop the undo, which may be what frees it
        note(operation, index, Event::UndoStarted, clock());
        let step = &operation.plan[index];
        let label = step.label();
        observer.undoing(index, step);
        let mut result = step.undo(world);
        if faults::doubles() && result.is_ok() {
            result = step.undo(world);
        }
        if faults::strikes(Point::UndoKill, &label) {
            faults::die();
        }
        if faults::strikes(Point::UndoFail, &label) {
            let by_hand = step.by_hand();
            note(operation, index, Event::UndoFailed { error: "a fault".into() }, clock());
            failures.push(UndoFailure { step: label, error: None, by_hand });
            continue;
        }
        match result {
            Ok(()) => note(operation, index, Event::Undone, clock()),
            Err(error) => {
                observer.undo_failed(index, step, &error);
                let by_hand = step.by_hand();
                note(operation, index, Event::UndoFailed { error: chain(&error) }, clock());
                failures.push(UndoFailure { step: label, error: Some(error), by_hand });
            }
        }
    }
    failures
}

fn note<S>(operation: &mut Operation<S>, index: usize, event: Event, at: Timestamp) {
    if let Err(error) = operation.record(index, event, at) {
        tracing::warn!(error = %chain(&error), "could not note an undo");
    }
}

fn finish<S, E>(
    operation: &mut Operation<S>,
    clock: &dyn Fn() -> Timestamp,
    outcome: Outcome<E>,
    result: OperationResult,
) -> Outcome<E> {
    if let Err(error) = operation.finish(result, clock()) {
        tracing::warn!(error = %chain(&error), "could not note the end of an operation");
    }
    outcome
}

/// The error and all its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
