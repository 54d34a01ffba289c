//! Faults on request, for tests: `SMBGW_FAULT=fail@start`, `kill-before@start`, `kill-after@start`,
//! `undo-fail@start`, `double`. Several are separated by commas. Compiled in by the feature `faults` only.

/// Where a fault may strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// The step acted and is now told that it failed.
    Fail,
    /// The intent is written, the step has not acted: the process dies.
    KillBefore,
    /// The step acted, its outcome is not written: the process dies.
    KillAfter,
    /// The undo is told that it failed.
    UndoFail,
    /// The undo acted, its outcome is not written: the process dies.
    UndoKill,
}

#[cfg(feature = "faults")]
mod active {
    use super::Point;

    fn faults() -> Vec<String> {
        std::env::var("SMBGW_FAULT").unwrap_or_default().split(',').map(str::to_owned).collect()
    }

    pub(crate) fn strikes(point: Point, label: &str) -> bool {
        let word = match point {
            Point::Fail => "fail",
            Point::KillBefore => "kill-before",
            Point::KillAfter => "kill-after",
            Point::UndoFail => "undo-fail",
            Point::UndoKill => "undo-kill",
        };
        faults().iter().any(|fault| *fault == format!("{word}@{label}"))
    }

    pub(crate) fn doubles() -> bool {
        faults().iter().any(|fault| fault == "double")
    }

    pub(crate) fn die() {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

#[cfg(not(feature = "faults"))]
mod active {
    pub(crate) fn strikes(_: super::Point, _: &str) -> bool {
        false
    }

    pub(crate) fn doubles() -> bool {
        false
    }

    pub(crate) fn die() {}
}

pub(crate) use active::{die, doubles, strikes};
