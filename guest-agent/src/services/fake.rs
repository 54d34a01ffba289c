//! Services of tests: a list of what was done, a state to set, and mounts that are lines of a file.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicIsize, Ordering};

use super::{Job, Services};
use crate::error::{Result, samba};
use crate::paths::Paths;

/// Remembers jobs of smbd; fails those in `failing`, and those of mount units in `failing_units`.
pub(crate) struct Fake {
    pub(crate) state: Mutex<String>,
    pub(crate) jobs: Mutex<Vec<Job>>,
    pub(crate) failing: Mutex<Vec<Job>>,
    pub(crate) failing_units: Mutex<Vec<String>>,
    /// What was done to mount units.
    pub(crate) mounted: Mutex<Vec<(String, Job)>>,
    /// Panics when this many calls were made; negative for never.
    pub(crate) kill_after: AtomicIsize,
    /// Where mount units are read, and mounts written down.
    root: PathBuf,
}

impl Fake {
    pub(crate) fn new(state: &str) -> Self {
        Self::below(state, "/nowhere")
    }

    pub(crate) fn below(state: &str, root: impl Into<PathBuf>) -> Self {
        Self {
            state: Mutex::new(state.into()),
            jobs: Mutex::default(),
            failing: Mutex::default(),
            failing_units: Mutex::default(),
            mounted: Mutex::default(),
            kill_after: AtomicIsize::new(-1),
            root: root.into(),
        }
    }

    fn maybe_die(&self) {
        if self.kill_after.load(Ordering::SeqCst) >= 0 && self.kill_after.fetch_sub(1, Ordering::SeqCst) == 0
        {
            std::panic::panic_any("killed");
        }
    }

    /// What PID 1 would do: starts what is not mounted, by its unit; stops what is.
    fn mount(&self, unit: &str, job: Job) -> Result<()> {
        self.mounted.lock().unwrap().push((unit.to_owned(), job));
        if self.failing_units.lock().unwrap().iter().any(|failing| failing == unit) && job != Job::Stop {
            return Err(samba(format!("systemd's {job} of {unit} ended with result \"failed\"")));
        }
        let paths = Paths::below(&self.root);
        let text = std::fs::read_to_string(paths.unit(unit)).unwrap();
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap().to_owned();
        let (what, at, kind) = (value("What="), value("Where="), value("Type="));
        assert!(self.root.join(&at[1..]).is_dir(), "{at} is there before it is mounted");
        let file = self.root.join("proc/self/mountinfo");
        let mut lines: Vec<String> =
            std::fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect();
        let is_at = |line: &String| line.split(' ').nth(4) == Some(&at);
        if job != Job::Start {
            lines.retain(|line| !is_at(line));
        }
        if job != Job::Stop && !lines.iter().any(is_at) {
            let top = format!("{}/", smbgw_api::v1::DISK_PATH);
            lines.push(match what.strip_prefix(&top) {
                Some(folder) => {
                    assert!(self.root.join(&what[1..]).is_dir(), "{what} is there before it is bound");
                    format!("1 1 254:16 /{folder} {at} rw - ext4 /dev/vdb rw")
                }
                None if kind == "virtiofs" => format!("1 1 0:50 / {at} rw - virtiofs {what} rw"),
                None => format!("1 1 254:16 / {at} rw - {kind} /dev/vdb rw"),
            });
        }
        std::fs::write(file, lines.join("\n")).unwrap();
        Ok(())
    }
}

impl Services for std::sync::Arc<Fake> {
    fn state(&self, _unit: &str) -> Result<String> {
        Ok(self.state.lock().unwrap().clone())
    }

    fn run(&self, unit: &str, job: Job) -> Result<()> {
        self.maybe_die();
        if unit.ends_with(".mount") {
            return self.mount(unit, job);
        }
        self.jobs.lock().unwrap().push(job);
        if self.failing.lock().unwrap().contains(&job) {
            return Err(samba(format!("{job} of {unit}: failed")));
        }
        *self.state.lock().unwrap() = "active".into();
        Ok(())
    }

    fn reload(&self) -> Result<()> {
        self.maybe_die();
        Ok(())
    }
}
