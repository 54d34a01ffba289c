//! Journal files: appended and synced line by line, locked while their operation runs.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use smbgw_command::{Interrupt, wait_until};

use crate::entry::StepText;
use crate::{
    Entry, Event, Header, IllegalTransition, OperationId, OperationResult, Step, StepStatus, status,
};

/// What can go wrong with a journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("{what} the journal {}", path.display())]
    Io {
        /// Gerund, as "writing".
        what: &'static str,
        /// File or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The text is not a journal.
    #[error("journal {} is damaged in line {line}", path.display())]
    Damaged {
        /// File.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The events are in an order that cannot be.
    #[error("journal {} contradicts itself in line {line}", path.display())]
    Contradiction {
        /// File.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Which.
        #[source]
        source: IllegalTransition,
    },
    /// A line speaks of a step that the plan does not have.
    #[error("journal {} speaks of a step {step} that is not in its plan", path.display())]
    NoSuchStep {
        /// File.
        path: PathBuf,
        /// Index.
        step: usize,
    },
    /// There is no such operation.
    #[error("there is no operation {0}")]
    NotFound(OperationId),
    /// Its operation is running.
    #[error("operation {0} is still running")]
    Running(OperationId),
    /// A plan cannot be written or read back.
    #[error("a step of operation {operation} is not one that this version knows")]
    UnknownStep {
        /// Which operation.
        operation: OperationId,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// What a person asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The verb, as `create`.
    pub verb: &'a str,
    /// What it is about, as a gateway's name.
    pub target: &'a str,
    /// Who asked.
    pub by: &'a str,
}

/// The directory that holds one file an operation.
#[derive(Debug, Clone)]
pub struct Journal {
    directory: PathBuf,
}

/// What a journal file says.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its first line.
    pub header: Header,
    /// Every later line.
    pub entries: Vec<Entry>,
    /// Where each step stands.
    pub steps: Vec<StepStatus>,
    /// How it ended; `None` while it runs, and after a crash.
    pub result: Option<OperationResult>,
    /// Its operation holds the file's lock.
    pub running: bool,
}

impl Recorded {
    /// Nothing runs it, and it is not over: a crash, or an undo that failed.
    pub fn needs_recovery(&self) -> bool {
        !self.running && matches!(self.result, None | Some(OperationResult::Incomplete))
    }

    /// The first error that a step met.
    pub fn cause(&self) -> Option<&str> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::Step { event: Event::Failed { error }, .. } => Some(error.as_str()),
            _ => None,
        })
    }
}

/// One operation's journal, open and locked. The lock goes with the process, however that ends.
#[derive(Debug)]
pub struct Operation<S> {
    path: PathBuf,
    file: File,
    /// Its first line.
    pub header: Header,
    /// The steps.
    pub plan: Vec<S>,
    /// Where each step stands.
    pub steps: Vec<StepStatus>,
}

impl Journal {
    /// A journal in this directory, which is made (0700) when the first operation begins.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Begins an operation: writes the plan down, synced, before anything acts.
    ///
    /// # Errors
    /// [`JournalError::Io`] when it cannot be written; then nothing has happened.
    pub fn begin<S: Step>(
        &self,
        operation: OperationId,
        asked: Asked<'_>,
        now: Timestamp,
        plan: Vec<S>,
    ) -> Result<Operation<S>, JournalError> {
        let unknown = |source| JournalError::UnknownStep { operation: operation.clone(), source };
        let header = Header {
            version: 1,
            operation: operation.clone(),
            verb: asked.verb.to_owned(),
            target: asked.target.to_owned(),
            by: asked.by.to_owned(),
            started: now,
            plan: plan.iter().map(serde_json::to_value).collect::<Result<_, _>>().map_err(unknown)?,
            steps: plan
                .iter()
                .map(|step| StepText { label: step.label(), text: step.describe(), by_hand: step.by_hand() })
                .collect(),
        };
        let path = self.path(&operation);
        let io = |what| {
            let path = path.clone();
            move |source| JournalError::Io { what, path, source }
        };
        make_private_directory(&self.directory).map_err(io("making the directory of"))?;
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(io("creating"))?;
        // waits for a reader that looks at the new file in this very moment
        flock(&file, FlockOperation::LockExclusive).map_err(|e| io("locking")(e.into()))?;
        let mut operation =
            Operation { steps: vec![StepStatus::default(); plan.len()], path, file, header, plan };
        let line = serde_json::to_string(&operation.header).map_err(unknown)?;
        if let Err(error) = operation.append_line(&line) {
            // a file without a plan would look like a crash
            let _ = std::fs::remove_file(&operation.path);
            return Err(error);
        }
        File::open(&self.directory).and_then(|dir| dir.sync_all()).map_err(|source| JournalError::Io {
            what: "syncing the directory of",
            path: operation.path.clone(),
            source,
        })?;
        Ok(operation)
    }

    /// All operations, oldest first. A file that cannot be read is given as its error, not left out.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the directory cannot be listed; a missing one is an empty one.
    pub fn list(&self) -> Result<Vec<Result<Recorded, JournalError>>, JournalError> {
        let io = |source| JournalError::Io { what: "listing", path: self.directory.clone(), source };
        let directory = match std::fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(io)?,
        };
        let mut ids = Vec::new();
        for entry in directory {
            let name = entry.map_err(io)?.file_name();
            if let Some(id) =
                name.to_str().and_then(|n| n.strip_suffix(".jsonl")).and_then(|n| n.parse().ok())
            {
                ids.push(id);
            }
        }
        ids.sort();
        // one that is removed meanwhile is simply gone
        Ok(ids
            .iter()
            .map(|id| self.read(id))
            .filter(|read| !matches!(read, Err(JournalError::NotFound(_))))
            .collect())
    }

    /// Reads one operation.
    ///
    /// # Errors
    /// [`JournalError`] when it is missing, unreadable or damaged. A last line that is cut off (a crash while it
    /// was written) is not damage: what it would have said had not happened yet.
    pub fn read(&self, id: &OperationId) -> Result<Recorded, JournalError> {
        let path = self.path(id);
        let mut file = self.open_file(id, false)?;
        let running = flock(&file, FlockOperation::NonBlockingLockShared).is_err();
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|source| JournalError::Io {
            what: "reading",
            path: path.clone(),
            source,
        })?;
        Ok(Recorded { running, ..parse(&path, &text)? })
    }

    /// Takes over an operation whose process is gone.
    ///
    /// # Errors
    /// [`JournalError::Running`] when it is not gone; else as [`Journal::read`].
    pub fn take_over<S: Step>(&self, id: &OperationId) -> Result<Operation<S>, JournalError> {
        let path = self.path(id);
        let mut file = self.open_file(id, true)?;
        if !lock_of_the_dead(&file) {
            return Err(JournalError::Running(id.clone()));
        }
        let io = |what| {
            let path = path.clone();
            move |source| JournalError::Io { what, path, source }
        };
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io("reading"))?;
        let recorded = parse(&path, &text)?;
        // drop a line that a crash cut off, or the next one would be glued to it
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64).map_err(io("repairing"))?;
        let plan = recorded
            .header
            .plan
            .iter()
            .map(|step| serde_json::from_value(step.clone()))
            .collect::<Result<_, _>>()
            .map_err(|source| JournalError::UnknownStep { operation: id.clone(), source })?;
        Ok(Operation { path, file, header: recorded.header, plan, steps: recorded.steps })
    }

    /// Removes the file of an operation that is over.
    ///
    /// # Errors
    /// [`JournalError::Running`] or [`JournalError::Io`].
    pub fn remove(&self, id: &OperationId) -> Result<(), JournalError> {
        let file = self.open_file(id, false)?;
        if !lock_of_the_dead(&file) {
            return Err(JournalError::Running(id.clone()));
        }
        let path = self.path(id);
        std::fs::remove_file(&path).map_err(|source| JournalError::Io { what: "removing", path, source })
    }

    fn path(&self, id: &OperationId) -> PathBuf {
        self.directory.join(format!("{id}.jsonl"))
    }

    fn open_file(&self, id: &OperationId, append: bool) -> Result<File, JournalError> {
        let path = self.path(id);
        match OpenOptions::new().read(true).append(append).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(JournalError::NotFound(id.clone())),
            other => other.map_err(|source| JournalError::Io { what: "opening", path, source }),
        }
    }
}

impl<S> Operation<S> {
    /// Name of the operation.
    pub fn id(&self) -> &OperationId {
        &self.header.operation
    }

    pub(crate) fn record(&mut self, step: usize, event: Event, at: Timestamp) -> Result<(), JournalError> {
        let mut steps = self.steps.clone();
        status::note(&mut steps, step, &event).map_err(|source| JournalError::Contradiction {
            path: self.path.clone(),
            line: 0,
            source,
        })?;
        self.append(&Entry::Step { step, event, at })?;
        self.steps = steps;
        Ok(())
    }

    pub(crate) fn finish(&mut self, finished: OperationResult, at: Timestamp) -> Result<(), JournalError> {
        self.append(&Entry::Finished { finished, at })
    }

    fn append(&mut self, entry: &Entry) -> Result<(), JournalError> {
        let line = serde_json::to_string(entry).map_err(|source| JournalError::UnknownStep {
            operation: self.header.operation.clone(),
            source,
        })?;
        self.append_line(&line)
    }

    fn append_line(&mut self, line: &str) -> Result<(), JournalError> {
        let before = self.file.metadata().map(|m| m.len()).unwrap_or_default();
        let written =
            self.file.write_all(format!("{line}\n").as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|source| {
            // a full disk may have taken half a line
            let _ = self.file.set_len(before);
            JournalError::Io { what: "writing", path: self.path.clone(), source }
        })
    }
}

/// Takes the lock of an operation that nobody runs. A reader holds it for a moment only, hence the short patience.
fn lock_of_the_dead(file: &File) -> bool {
    let free = || flock(file, FlockOperation::NonBlockingLockExclusive).ok();
    wait_until("the journal's lock", Duration::from_millis(300), &Interrupt::new(), free).is_ok()
}

fn make_private_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn parse(path: &Path, text: &str) -> Result<Recorded, JournalError> {
    let damaged = |line, source| JournalError::Damaged { path: path.to_owned(), line, source };
    // only whole lines count
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let mut lines = whole.lines();
    let header: Header = serde_json::from_str(lines.next().unwrap_or_default()).map_err(|e| damaged(1, e))?;
    let mut recorded = Recorded {
        steps: vec![StepStatus::default(); header.steps.len()],
        header,
        entries: Vec::new(),
        result: None,
        running: false,
    };
    for (index, line) in lines.enumerate() {
        let number = index + 2;
        let entry: Entry = serde_json::from_str(line).map_err(|e| damaged(number, e))?;
        match &entry {
            Entry::Step { step, event, .. } => {
                if *step >= recorded.steps.len() {
                    return Err(JournalError::NoSuchStep { path: path.to_owned(), step: *step });
                }
                status::note(&mut recorded.steps, *step, event).map_err(|source| {
                    JournalError::Contradiction { path: path.to_owned(), line: number, source }
                })?;
                recorded.result = None;
            }
            Entry::Finished { finished, .. } => recorded.result = Some(*finished),
        }
        recorded.entries.push(entry);
    }
    Ok(recorded)
}
