//! File systems asked with a deadline. Every access to a virtio-fs whose daemon has died waits for ever and cannot be
//! ended, so it is made in a thread of its own; a path whose last answer is still outstanding gets no second thread.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long all of them together may take.
const DEADLINE: Duration = Duration::from_millis(1500);
/// Stack of such a thread.
const STACK: usize = 64 << 10;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A directory that answers, with room in bytes (statvfs(3)).
    Directory {
        /// In all.
        total: u64,
        /// Free for users.
        available: u64,
    },
    /// There is none, in words.
    Missing(String),
    /// It does not answer.
    Silent,
}

/// Asks; remembers what has not answered yet.
#[derive(Default)]
pub(crate) struct Answers {
    outstanding: Mutex<BTreeMap<PathBuf, Receiver<Answer>>>,
}

impl Answers {
    /// Asks for each of these paths, all at the same time.
    pub(crate) fn ask(&self, paths: &[PathBuf]) -> Vec<Answer> {
        self.ask_by(paths, look)
    }

    fn ask_by(&self, paths: &[PathBuf], look: fn(&Path) -> Answer) -> Vec<Answer> {
        // held to the end: one who asks at the same time would take what is under way for silence
        let mut outstanding = self.outstanding.lock().unwrap_or_else(PoisonError::into_inner);
        outstanding.retain(|_, answer| matches!(answer.try_recv(), Err(TryRecvError::Empty)));
        let start = Instant::now();
        let asked: Vec<Option<Receiver<Answer>>> =
            paths.iter().map(|path| (!outstanding.contains_key(path)).then(|| spawn(path, look))).collect();
        let mut answers = Vec::with_capacity(paths.len());
        for (path, asked) in paths.iter().zip(asked) {
            let Some(asked) = asked else {
                answers.push(Answer::Silent);
                continue;
            };
            answers.push(match asked.recv_timeout(DEADLINE.saturating_sub(start.elapsed())) {
                Ok(answer) => answer,
                Err(RecvTimeoutError::Timeout) => {
                    outstanding.insert(path.clone(), asked);
                    Answer::Silent
                }
                Err(RecvTimeoutError::Disconnected) => Answer::Missing("no thread to ask it with".to_owned()),
            });
        }
        answers
    }
}

fn spawn(path: &Path, look: fn(&Path) -> Answer) -> Receiver<Answer> {
    let (sender, receiver) = channel();
    let path = path.to_owned();
    let thread = std::thread::Builder::new().name("statvfs".into()).stack_size(STACK);
    // when it cannot be made, the sender goes with it and the receiver knows
    drop(thread.spawn(move || drop(sender.send(look(&path)))));
    receiver
}

fn look(path: &Path) -> Answer {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => return Answer::Missing("it is no directory".to_owned()),
        Err(error) => return Answer::Missing(error.to_string()),
    }
    match rustix::fs::statvfs(path) {
        Ok(stat) => Answer::Directory {
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
            available: stat.f_bavail.saturating_mul(stat.f_frsize),
        },
        Err(errno) => Answer::Missing(errno.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    static THREADS: AtomicUsize = AtomicUsize::new(0);
    static DEAD: AtomicBool = AtomicBool::new(true);

    fn dead_or_alive(path: &Path) -> Answer {
        THREADS.fetch_add(1, Ordering::SeqCst);
        while path.ends_with("dead") && DEAD.load(Ordering::SeqCst) {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Answer::Directory { total: 2, available: 1 }
    }

    #[test]
    fn silence_costs_one_thread_and_one_deadline() {
        let answers = Answers::default();
        let paths = [PathBuf::from("/dead"), PathBuf::from("/alive")];
        let well = Answer::Directory { total: 2, available: 1 };
        assert_eq!(answers.ask_by(&paths, dead_or_alive), [Answer::Silent, well.clone()]);
        let start = Instant::now();
        assert_eq!(answers.ask_by(&paths, dead_or_alive), [Answer::Silent, well.clone()]);
        assert!(start.elapsed() < DEADLINE);
        assert_eq!(THREADS.load(Ordering::SeqCst), 3);
        DEAD.store(false, Ordering::SeqCst);
        let back = || answers.ask_by(&paths, dead_or_alive) == [well.clone(), well.clone()];
        smbgw_command::wait_until("an answer", DEADLINE, &smbgw_command::Interrupt::new(), || {
            back().then_some(())
        })
        .unwrap();
    }

    #[test]
    fn directories_and_what_is_none() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("file"), "").unwrap();
        let paths = ["", "file", "none"].map(|name| root.path().join(name));
        let answers = Answers::default().ask(&paths);
        assert!(matches!(answers[0], Answer::Directory { total: 1.., .. }));
        assert!(matches!(&answers[1], Answer::Missing(why) if why.contains("no directory")));
        assert!(matches!(answers[2], Answer::Missing(_)));
    }
}
