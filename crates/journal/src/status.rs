//! Which order of events is legal for a step.

use crate::Event;

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StepStatus {
    /// Nothing is written about it.
    #[default]
    NeverStarted,
    /// The intent is written; it may have acted.
    Started,
    /// It succeeded.
    Done,
    /// It failed; it may have acted in part.
    Failed,
    /// Its undo may have acted.
    UndoStarted,
    /// It is taken back.
    Undone,
    /// Its undo failed.
    UndoFailed,
}

/// An event that cannot follow: a damaged journal, or a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a step that is {from:?} cannot become {event:?}")]
pub struct IllegalTransition {
    /// Where the step stood.
    pub from: StepStatus,
    /// What was said to have happened.
    pub event: EventKind,
}

/// An [`Event`] without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// Intent.
    Started,
    /// Success.
    Done,
    /// Failure.
    Failed,
    /// Intent of undo.
    UndoStarted,
    /// Undo succeeded.
    Undone,
    /// Undo failed.
    UndoFailed,
}

impl From<&Event> for EventKind {
    fn from(event: &Event) -> Self {
        match event {
            Event::Started => Self::Started,
            Event::Done => Self::Done,
            Event::Failed { .. } => Self::Failed,
            Event::UndoStarted => Self::UndoStarted,
            Event::Undone => Self::Undone,
            Event::UndoFailed { .. } => Self::UndoFailed,
        }
    }
}

impl StepStatus {
    /// The status after an event.
    ///
    /// # Errors
    /// [`IllegalTransition`] when the event cannot follow.
    pub fn next(self, event: &Event) -> Result<Self, IllegalTransition> {
        let kind = EventKind::from(event);
        match (self, kind) {
            // started again: a step past the point of no return is repeated until it succeeds
            (Self::NeverStarted | Self::Started | Self::Failed, EventKind::Started) => Ok(Self::Started),
            (Self::Started, EventKind::Done) => Ok(Self::Done),
            (Self::Started, EventKind::Failed) => Ok(Self::Failed),
            (
                Self::Started | Self::Done | Self::Failed | Self::UndoStarted | Self::UndoFailed,
                EventKind::UndoStarted,
            ) => Ok(Self::UndoStarted),
            (Self::UndoStarted, EventKind::Undone) => Ok(Self::Undone),
            (Self::UndoStarted, EventKind::UndoFailed) => Ok(Self::UndoFailed),
            (from, event) => Err(IllegalTransition { from, event }),
        }
    }

    /// Whether the step may have left something that an undo has to look at.
    pub fn needs_undo(self) -> bool {
        !matches!(self, Self::NeverStarted | Self::Undone)
    }
}

/// Notes an event of one step of a plan. An undo that begins sends the earlier steps that are taken back already into
/// their undo again: undos have an order, and one that is repeated late may disturb what those before it put right.
///
/// # Errors
/// [`IllegalTransition`] when the event cannot follow; nothing is noted then.
pub(crate) fn note(steps: &mut [StepStatus], step: usize, event: &Event) -> Result<(), IllegalTransition> {
    steps[step] = steps[step].next(event)?;
    if matches!(event, Event::UndoStarted) {
        for earlier in &mut steps[..step] {
            if *earlier == StepStatus::Undone {
                *earlier = StepStatus::UndoStarted;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(events: &[Event]) -> Result<StepStatus, IllegalTransition> {
        events.iter().try_fold(StepStatus::default(), StepStatus::next)
    }

    #[test]
    fn legal_walks() {
        let failed = || Event::Failed { error: "x".into() };
        let undo_failed = || Event::UndoFailed { error: "x".into() };
        assert_eq!(walk(&[Event::Started, Event::Done]), Ok(StepStatus::Done));
        assert_eq!(
            walk(&[Event::Started, failed(), Event::UndoStarted, Event::Undone]),
            Ok(StepStatus::Undone)
        );
        assert_eq!(
            walk(&[Event::Started, Event::UndoStarted, undo_failed(), Event::UndoStarted, Event::Undone]),
            Ok(StepStatus::Undone)
        );
        assert_eq!(walk(&[Event::Started, failed(), Event::Started, Event::Done]), Ok(StepStatus::Done));
    }

    #[test]
    fn an_undo_that_is_repeated_repeats_those_after_it() {
        let mut steps =
            vec![StepStatus::Undone, StepStatus::NeverStarted, StepStatus::UndoFailed, StepStatus::Undone];
        note(&mut steps, 2, &Event::UndoStarted).unwrap();
        use StepStatus::{NeverStarted, UndoStarted, Undone};
        assert_eq!(steps, [UndoStarted, NeverStarted, UndoStarted, Undone]);
    }

    #[test]
    fn illegal_walks() {
        for events in [
            vec![Event::Done],
            vec![Event::UndoStarted],
            vec![Event::Started, Event::Undone],
            vec![Event::Started, Event::Done, Event::Done],
            vec![Event::Started, Event::Done, Event::Started],
            vec![Event::Started, Event::UndoStarted, Event::Undone, Event::Started],
        ] {
            assert!(walk(&events).is_err(), "{events:?}");
        }
    }
}
