//! The audit trail: a JSON line for each operation, and the same in syslog under the tag `pve-smbgw`. No secrets:
//! there are none in anything that it is made of.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;

use jiff::Timestamp;
use serde::Serialize;

use super::Context;
use crate::{Category, Error, durable};

/// Priority of an audit message: facility authpriv (10), severity notice (5); RFC 5424, section 6.2.1.
const PRIORITY: u8 = 10 * 8 + 5;
/// Priority of a warning: facility daemon (3), severity warning (4).
pub const WARNING: u8 = 3 * 8 + 4;
/// Priority of a message about something that does not work: severity critical (2).
pub const CRITICAL: u8 = 3 * 8 + 2;
/// Priority of a message that needs no action: severity informational (6).
pub const INFO: u8 = 3 * 8 + 6;

/// A line of the trail.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// When it ended.
    pub time: Timestamp,
    /// Operation.
    pub operation: String,
    /// Verb.
    pub verb: String,
    /// Gateway.
    pub target: String,
    /// Who.
    pub by: String,
    /// Labels of the steps.
    pub steps: Vec<String>,
    /// `done`, `rolled-back` or `incomplete`.
    pub result: String,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The word for a result.
pub fn result_word(result: &Result<(), Error>) -> &'static str {
    match result {
        Ok(()) => "done",
        Err(error) if error.category == Category::Incomplete => "incomplete",
        Err(_) => "rolled-back",
    }
}

/// Writes the line. That the trail cannot be written is said, but does not undo what was done.
pub fn write(context: &Context, entry: &Entry) {
    let line = match serde_json::to_string(entry) {
        Ok(line) => line,
        Err(error) => {
            tracing::error!(%error, "an audit line could not be made");
            return;
        }
    };
    if let Err(error) = append(context, &line) {
        context.output.talk(&format!("warning: the audit trail could not be written: {}", error.chain()));
    }
    syslog(PRIORITY, &line);
}

/// Says something in syslog under our tag. A machine without syslog is none to complain about.
pub fn syslog(priority: u8, line: &str) {
    if let Ok(socket) = UnixDatagram::unbound() {
        let message = format!("<{priority}>pve-smbgw[{}]: {line}", std::process::id());
        let _ = socket.send_to(message.as_bytes(), "/dev/log");
    }
}

fn append(context: &Context, line: &str) -> crate::Result<()> {
    let path = context.paths.audit();
    if let Some(directory) = path.parent() {
        durable::make_directory(directory, 0o750)?;
    }
    let io = |source| Error::io(format!("writing {}", path.display()), source);
    let mut file = OpenOptions::new().append(true).create(true).mode(0o640).open(&path).map_err(io)?;
    // one write: lines of parallel operations do not mix (open(2), O_APPEND)
    file.write_all(format!("{line}\n").as_bytes()).and_then(|()| file.sync_data()).map_err(io)
}
