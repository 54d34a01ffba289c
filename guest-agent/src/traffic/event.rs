//! What [`super::tally`] tells the agent, a line an event.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use smbgw_api::v1::{Operations, Traffic};

/// A process, told from a later one of the same number by when it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: u32,
    /// Field 22 of `/proc/PID/stat`.
    pub(crate) start: u64,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// A share was opened.
    Open(String),
    /// It was closed.
    Close(String),
    /// All that the process did before is in its counters.
    Rest,
    /// It has ended, and what it did last is not known.
    End,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// What happened.
    pub(super) what: What,
    /// To which smbd.
    pub(super) process: Process,
    /// When, in milliseconds since the boot.
    pub(super) at: u64,
    /// What it had written down by then; nothing when that could not be read.
    pub(super) counters: Option<Traffic>,
}

impl Event {
    /// The line.
    pub(super) fn render(&self) -> String {
        let (word, share) = match &self.what {
            What::Open(share) => ("open", hex(share)),
            What::Close(share) => ("close", hex(share)),
            What::Rest => ("rest", "-".to_owned()),
            What::End => ("end", "-".to_owned()),
        };
        let mut out = format!("{word} {share} {} {} {}", self.process.pid, self.process.start, self.at);
        match self.counters {
            Some(Traffic { read, write }) => {
                for number in [read.count, read.bytes, read.time_us, write.count, write.bytes, write.time_us]
                {
                    let _ = write!(out, " {number}");
                }
            }
            None => out.push_str(" -"),
        }
        out.push('\n');
        out
    }

    /// Reads a line back; nothing of what is none.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (word, share) = (words.next()?, words.next()?);
        let what = match word {
            "open" => What::Open(from_hex(share)?),
            "close" => What::Close(from_hex(share)?),
            "rest" => What::Rest,
            "end" => What::End,
            _ => return None,
        };
        let process = Process { pid: words.next()?.parse().ok()?, start: words.next()?.parse().ok()? };
        let at = words.next()?.parse().ok()?;
        let rest: Vec<&str> = words.collect();
        let counters = if rest == ["-"] {
            None
        } else {
            let numbers: Vec<u64> = rest.iter().map(|word| word.parse().ok()).collect::<Option<_>>()?;
            let operations =
                |numbers: &[u64]| Operations { count: numbers[0], bytes: numbers[1], time_us: numbers[2] };
            if numbers.len() != 6 {
                return None;
            }
            Some(Traffic { read: operations(&numbers[..3]), write: operations(&numbers[3..]) })
        };
        Some(Self { what, process, at, counters })
    }
}

/// A share's name as an argument: nothing in it means anything to Samba or a shell.
pub(crate) fn hex(share: &str) -> String {
    share.bytes().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The name again.
pub(super) fn from_hex(text: &str) -> Option<String> {
    if text.is_empty() || !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return None;
    }
    let bytes = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok());
    String::from_utf8(bytes.collect::<Option<_>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_back_what_it_wrote(share in "\\PC{1,20}", pid in any::<u32>(), at in any::<u64>(), bytes in any::<Option<u64>>(), kind in 0..4) {
            let what = [What::Open(share.clone()), What::Close(share), What::Rest, What::End][kind as usize].clone();
            let counters = bytes.map(|bytes| Traffic { write: Operations { bytes, ..Default::default() }, ..Default::default() });
            let event = Event { what, process: Process { pid, start: at / 3 }, at, counters };
            let line = event.render();
            prop_assert!(line.is_ascii() && line.ends_with('\n'));
            prop_assert_eq!(Event::parse(line.trim_end()), Some(event));
            // a torn line is no line, or has lost digits of its last number only
            if let Some(torn) = Event::parse(&line[..line.len() / 2]) {
                prop_assert!(torn.counters.is_none());
            }
        }

        #[test]
        fn any_text_is_survived(line in "\\PC{0,80}") {
            let _ = Event::parse(&line);
        }
    }
}
