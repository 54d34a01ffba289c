//! Tasks, run in the foreground as in a command-line process. Source: PVE::RESTEnvironment, PVE::UPID of pve-common.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::faults::Fault;
use crate::refusal::{Refusal, Result};
use crate::sim::Sim;
use crate::world::now;

/// The task that this call made last.
static LAST: Mutex<Option<String>> = Mutex::new(None);
/// Directory of the tasks' logs.
const LOGS: &str = "/var/log/pve/tasks";

/// A task that runs.
pub struct Task<'a> {
    /// The program that it is in.
    pub sim: &'a Sim,
    file: Option<fs::File>,
    warnings: u32,
}

/// The task that this call made last.
pub fn last() -> Option<String> {
    LAST.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Where the log of a task is.
pub fn log(upid: &str) -> PathBuf {
    let start = upid.split(':').nth(4).unwrap_or_default();
    let digit = start.chars().last().unwrap_or('0');
    PathBuf::from(LOGS).join(digit.to_string()).join(upid)
}

impl Task<'_> {
    /// A line of the task's output.
    pub fn say(&mut self, line: &str) {
        println!("{line}");
        self.note(line);
    }

    /// A warning: the task ends with `WARNINGS: n`.
    pub fn warn(&mut self, text: &str) {
        eprintln!("WARN: {text}");
        self.note(&format!("WARN: {text}"));
        self.warnings += 1;
    }

    fn note(&mut self, line: &str) {
        if let Some(file) = &mut self.file {
            let _ = writeln!(file, "{line}");
        }
    }
}

/// Runs a task to its end; gives its name. The caller's exit code is that of the task.
///
/// # Errors
/// With the task's error.
pub fn run(
    sim: &Sim,
    kind: &str,
    id: &str,
    work: impl FnOnce(&mut Task<'_>) -> Result<()>,
) -> Result<String> {
    let (result, upid) = attempt(sim, kind, id, work);
    result.map(|()| upid)
}

/// Runs a task to its end; gives its result and its name.
pub fn attempt(
    sim: &Sim,
    kind: &str,
    id: &str,
    work: impl FnOnce(&mut Task<'_>) -> Result<()>,
) -> (Result<()>, String) {
    let pid = std::process::id();
    // the second number is the process's start in clock ticks
    let started = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: u64 = started
        .rsplit(')')
        .next()
        .and_then(|tail| tail.split_whitespace().nth(19)?.parse().ok())
        .unwrap_or_default();
    let upid = format!("UPID:{}:{pid:08X}:{ticks:08X}:{:08X}:{kind}:{id}:root@pam:", sim.node.name, now());
    let path = log(&upid);
    if let Some(directory) = path.parent() {
        let _ = fs::create_dir_all(directory);
    }
    *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(upid.clone());
    let mut task = Task { sim, file: fs::File::create(&path).ok(), warnings: 0 };
    let mut result = work(&mut task);
    if result.is_ok() && sim.fault == Some(Fault::TaskError) {
        result = Err(Refusal::new("simulated: the task failed at its end"));
    }
    if sim.fault == Some(Fault::Warning) {
        task.warn("simulated: something to think about");
    }
    let end = match &result {
        Ok(()) if task.warnings > 0 => {
            eprintln!("Task finished with {} warning(s)!", task.warnings);
            format!("TASK WARNINGS: {}", task.warnings)
        }
        Ok(()) => "TASK OK".to_owned(),
        Err(refusal) => format!("TASK ERROR: {}", refusal.text.trim().replace('\n', " ")),
    };
    task.note(&end);
    (result.map_err(|refusal| Refusal::code(255, refusal.text)), upid)
}
