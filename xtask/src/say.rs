//! The steps as they are told: a heading each, and how long it took.

use std::time::{Duration, Instant};

/// Announces a step.
pub(crate) fn step(name: &str, what: &str) {
    println!("\n== {name}: {what}");
}

/// One line about the step under way.
pub(crate) fn line(text: &str) {
    println!("   {text}");
}

/// Runs something and gives how long it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, Duration)> {
    let start = Instant::now();
    let result = work()?;
    Ok((result, start.elapsed()))
}

/// Seconds, with as many digits as mean something.
pub(crate) fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        s if s < 0.1 => format!("{:.1} ms", s * 1e3),
        s if s < 10.0 => format!("{s:.2} s"),
        s => format!("{s:.1} s"),
    }
}

/// Megabytes (10^6), as sizes of templates are given.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// KiB as MiB.
pub(crate) fn mib(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}
