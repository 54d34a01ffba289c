//! Changing the world in steps that can be taken back.
//!
//! * [`Step`]: one change, with its undo beside it.
//! * [`Journal`]: the directory of journal files; [`Operation`]: one of them, open and locked.
//! * [`run`]: runs a plan: writes the intent down *before* each step acts, undoes all on failure.
//! * [`recover`]: finishes what a crash or `kill -9` left: undoes, or goes on past the point of no return.
//! * [`Entry`], [`StepStatus`]: what is written, and which order is legal.
//!
//! An undo must be safe whether its step ran, half ran or never ran. A step past the point of no return
//! ([`Step::commits`]) must be safe to run again.

mod entry;
mod faults;
mod file;
mod runner;
mod status;

pub use entry::{Entry, Event, Header, OperationId, OperationResult, StepText};
pub use file::{Asked, Journal, JournalError, Operation, Recorded};
pub use runner::{Cause, NoObserver, Observer, Outcome, UndoFailure, recover, rollback, run};
pub use status::{IllegalTransition, StepStatus};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// One change to the world.
pub trait Step: Serialize + DeserializeOwned {
    /// What the step acts on.
    type World: ?Sized;
    /// What can go wrong.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Stable short name, as `start`; unique within a plan together with [`Step::subject`].
    fn name(&self) -> &'static str;

    /// What it acts on, as a share name; empty when the plan has only one of its kind.
    fn subject(&self) -> String {
        String::new()
    }

    /// What it does, for people: "start the container".
    fn describe(&self) -> String;

    /// Does it. Doing it twice is the same as doing it once.
    ///
    /// # Errors
    /// Whatever prevented it; the runner then undoes this step and those before it.
    fn perform(&self, world: &Self::World) -> Result<(), Self::Error>;

    /// Takes it back, whether it ran, half ran or never ran. Twice is the same as once.
    ///
    /// # Errors
    /// Whatever prevented it; the runner goes on with the other undos and reports all.
    fn undo(&self, world: &Self::World) -> Result<(), Self::Error>;

    /// True when there is no way back from here: a failure is not undone, [`recover`] goes on from this step.
    fn commits(&self) -> bool {
        false
    }

    /// Commands with which a person takes it back by hand, should the undo fail.
    fn by_hand(&self) -> Vec<String> {
        Vec::new()
    }

    /// Name and subject, as `configure` or `prove:team`.
    fn label(&self) -> String {
        match self.subject() {
            subject if subject.is_empty() => self.name().to_owned(),
            subject => format!("{}:{subject}", self.name()),
        }
    }
}
