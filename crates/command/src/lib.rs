//! The only place in the product that starts processes (ARCHITECTURE.md, invariant 1).
//!
//! * [`Command`]: what to run: program, arguments, input, deadline, limits. Plain data.
//! * [`Runner`]: who runs it: [`System`] really does, [`Recorder`] keeps a list and answers from a script.
//! * [`Service`]: a process that lives on, started by [`System::launch`].
//! * [`CommandError`]: program, arguments, status and the end of stderr; never a secret.
//! * [`Interrupt`]: a flag that ends running commands and waits early (Ctrl-C).
//! * [`wait_until`]: the only way to wait for something: with a deadline, and a name for it.

mod error;
mod interrupt;
mod process;
mod recorder;
mod service;
mod spec;
mod wait;

pub use error::CommandError;
pub use interrupt::Interrupt;
pub use process::{OnLine, Streams, System};
pub use recorder::Recorder;
pub use service::{Service, wait_for_any};
pub use spec::{Command, Output, Stdin};
pub use wait::{WaitError, wait_until};

/// Something that can run a [`Command`] to its end.
pub trait Runner: Send + Sync {
    /// Runs the command and waits for it, at most until its deadline.
    ///
    /// # Errors
    /// Every way a command can go wrong is a [`CommandError`]; an exit status that the command does not accept is
    /// one of them.
    fn run(&self, command: &Command) -> Result<Output, CommandError>;
}
