//! Questions to agents, each in a thread of its own: one that hangs holds up nobody, and Ctrl-C ends the wait for it.

use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use smbgw_api::GatewayName;
use smbgw_command::{Interrupt, WaitError, wait_until};

use crate::link::Agent;
use crate::operation::{Context, Secrets};
use crate::{Error, Result};

/// Longer than any question takes, whose deadline is the link's.
const PATIENCE: Duration = Duration::from_secs(300);

/// A question that was asked.
pub(super) struct Asked<T>(Receiver<Result<T>>);

impl<T: Send + 'static> Asked<T> {
    /// Does something aside.
    pub(super) fn aside(work: impl FnOnce() -> Result<T> + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        let refused = sender.clone();
        let work = move || {
            // who asked may have gone
            let _ = sender.send(work());
        };
        if let Err(source) = std::thread::Builder::new().spawn(work) {
            let _ = refused.send(Err(Error::io("starting a thread", source)));
        }
        Self(receiver)
    }

    /// Asks the agent of a gateway.
    pub(super) fn agent(
        context: &Context,
        name: &GatewayName,
        question: impl FnOnce(&Agent) -> Result<T> + Send + 'static,
    ) -> Self {
        let (context, name) = (context.clone(), name.clone());
        Self::aside(move || question(&context.world(Secrets::new()).agent(&name)?))
    }

    /// The answer, once, if it is there.
    pub(super) fn answer(&self) -> Option<Result<T>> {
        match self.0.try_recv() {
            Ok(answer) => Some(answer),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(Error::internal("a question was not answered"))),
        }
    }

    /// Waits for it.
    pub(super) fn wait(&self, interrupt: &Interrupt) -> Result<T> {
        wait_until("an agent's answer", PATIENCE, interrupt, || self.answer())?
    }

    /// Waits for it until a time; says what came first.
    pub(super) fn wait_until(&self, time: Instant, interrupt: &Interrupt) -> First<Result<T>> {
        let patience = time.saturating_duration_since(Instant::now());
        match wait_until("an agent's answer", patience, interrupt, || self.answer()) {
            Ok(answer) => First::Answer(answer),
            Err(WaitError::TimedOut { .. }) => First::Time,
            Err(WaitError::Interrupted { .. }) => First::Interrupt,
        }
    }
}

/// What came first.
pub(super) enum First<T> {
    /// The answer.
    Answer(T),
    /// The time.
    Time,
    /// Ctrl-C.
    Interrupt,
}

/// Lets time go by.
///
/// # Errors
/// When it is interrupted.
pub(super) fn pause(time: Duration, interrupt: &Interrupt) -> Result<()> {
    match wait_until::<()>("some time to go by", time, interrupt, || None) {
        Err(error @ WaitError::Interrupted { .. }) => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_what_hangs() {
        let interrupt = Interrupt::new();
        let (_held, never) = channel::<()>();
        let hung = Asked::aside(move || Ok(never.recv().is_ok()));
        let soon = Instant::now() + Duration::from_millis(30);
        assert!(matches!(hung.wait_until(soon, &interrupt), First::Time));
        let quick = Asked::aside(|| Ok(7));
        assert_eq!(quick.wait(&interrupt).unwrap(), 7);
        interrupt.set();
        assert_eq!(hung.wait(&interrupt).unwrap_err().category, crate::Category::Interrupted);
        assert!(pause(Duration::from_secs(60), &interrupt).is_err());
    }
}
