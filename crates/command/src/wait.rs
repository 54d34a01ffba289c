//! Waiting for a condition, with a deadline and a name.

use std::time::{Duration, Instant};

use crate::Interrupt;

/// What ended a wait before its condition held.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WaitError {
    /// The deadline passed.
    #[error("waited {} s for {what}, in vain", deadline.as_secs_f32())]
    TimedOut {
        /// What was waited for.
        what: String,
        /// For how long.
        deadline: Duration,
    },
    /// The interrupt was set.
    #[error("interrupted while waiting for {what}")]
    Interrupted {
        /// What was waited for.
        what: String,
    },
}

/// Asks `ready` until it gives a value; pauses 5 ms at first, growing to 100 ms.
///
/// # Errors
/// [`WaitError`] when the deadline passes or the interrupt is set first.
pub fn wait_until<T>(
    what: &str,
    deadline: Duration,
    interrupt: &Interrupt,
    mut ready: impl FnMut() -> Option<T>,
) -> Result<T, WaitError> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(value) = ready() {
            return Ok(value);
        }
        if interrupt.is_set() {
            return Err(WaitError::Interrupted { what: what.to_owned() });
        }
        if start.elapsed() >= deadline {
            return Err(WaitError::TimedOut { what: what.to_owned(), deadline });
        }
        #[expect(clippy::disallowed_methods, reason = "this is the one place that waits")]
        std::thread::sleep(pause);
        pause = (pause * 3 / 2).min(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_value_when_ready() {
        let mut calls = 0;
        let got = wait_until("three", Duration::from_secs(5), &Interrupt::new(), || {
            calls += 1;
            (calls == 3).then_some(calls)
        });
        assert_eq!(got, Ok(3));
    }

    #[test]
    fn names_what_was_waited_for() {
        let got = wait_until::<()>("godot", Duration::from_millis(10), &Interrupt::new(), || None);
        assert!(got.unwrap_err().to_string().contains("godot"));
    }
}
