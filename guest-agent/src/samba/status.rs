//! smbstatus(1): sessions, tree connects, open files.
//!
//! Samba 4.17 to 4.22 differ in which keys they print; what is absent is absent here, too.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use smbgw_api::v1::Session;
use smbgw_command::{Command, Runner};

use crate::error::{Doing, Result, internal};

/// What smbd is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// Sessions, with the shares each has open.
    pub(crate) sessions: Vec<Session>,
    /// Tree connects by share, without `IPC$`.
    pub(crate) tree_connects: BTreeMap<String, u64>,
    /// User and process of each session.
    pub(crate) processes: Vec<(String, u32)>,
    /// Process of each session, by its id.
    pub(crate) servers: BTreeMap<String, u32>,
    /// Shares that each process has open, without `IPC$`.
    pub(crate) open: BTreeMap<u32, BTreeSet<String>>,
    /// Open files.
    pub(crate) open_files: u64,
}

/// Asks smbstatus.
pub(crate) fn read(runner: &dyn Runner) -> Result<Status> {
    let command = Command::new("smbstatus").arg("--json");
    let doing = || "asking Samba for its sessions".to_owned();
    let text = runner.run(&command).and_then(|output| output.text(&command)).doing(doing)?;
    parse(&text).map_err(|error| internal(format!("`smbstatus --json` printed something else: {error}")))
}

/// Parses the JSON of `smbstatus --json`, which may stand behind warnings.
pub(crate) fn parse(text: &str) -> std::result::Result<Status, String> {
    let Some(start) = text.find('{') else {
        // before the first client there are no databases, hence, on some versions, no answer
        return if text.trim().is_empty() { Ok(Status::default()) } else { Err("no JSON".to_owned()) };
    };
    let root: Value = serde_json::from_str(&text[start..]).map_err(|error| error.to_string())?;
    let tcons = entries(&root, "tcons");
    let mut tree_connects = BTreeMap::new();
    for service in tcons.iter().filter_map(|tcon| text_of(tcon, "service")).filter(|name| name != "IPC$") {
        *tree_connects.entry(service).or_default() += 1;
    }
    let mut open: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for (pid, share) in tcons.iter().filter_map(|tcon| Some((server(tcon)?, text_of(tcon, "service")?))) {
        if share != "IPC$" {
            open.entry(pid).or_default().insert(share);
        }
    }
    let sessions = entries(&root, "sessions");
    Ok(Status {
        servers: sessions
            .iter()
            .filter_map(|session| Some((text_of(session, "session_id")?, server(session)?)))
            .collect(),
        open,
        processes: sessions.iter().filter_map(|session| process(session)).collect(),
        sessions: entries(&root, "sessions")
            .iter()
            .filter_map(|session| parse_session(session, &tcons))
            .collect(),
        tree_connects,
        open_files: entries(&root, "open_files").iter().map(|file| opens(file)).sum(),
    })
}

fn parse_session(session: &Map<String, Value>, tcons: &[&Map<String, Value>]) -> Option<Session> {
    let id = text_of(session, "session_id")?;
    let mut shares: Vec<String> = tcons
        .iter()
        .filter(|tcon| text_of(tcon, "session_id").as_ref() == Some(&id))
        .filter_map(|tcon| text_of(tcon, "service"))
        .filter(|share| share != "IPC$")
        .collect();
    shares.sort();
    shares.dedup();
    Some(Session {
        user: text_of(session, "username").unwrap_or_default(),
        client: text_of(session, "remote_machine").unwrap_or_default(),
        dialect: text_of(session, "session_dialect"),
        signing: cipher(session, "signing"),
        encryption: cipher(session, "encryption"),
        shares,
        id,
    })
}

fn process(session: &Map<String, Value>) -> Option<(String, u32)> {
    Some((text_of(session, "username")?, server(session)?))
}

/// The process that it is in.
fn server(entry: &Map<String, Value>) -> Option<u32> {
    text_of(entry.get("server_id")?.as_object()?, "pid")?.parse().ok()
}

/// One file can be open many times.
fn opens(file: &Map<String, Value>) -> u64 {
    file.get("opens").and_then(Value::as_object).map_or(1, |opens| opens.len() as u64)
}

fn entries<'a>(root: &'a Value, key: &str) -> Vec<&'a Map<String, Value>> {
    let object = root.get(key).and_then(Value::as_object);
    object.into_iter().flat_map(Map::values).filter_map(Value::as_object).collect()
}

/// A text, or a number as text: versions differ.
fn text_of(object: &Map<String, Value>, key: &str) -> Option<String> {
    match object.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn cipher(session: &Map<String, Value>, key: &str) -> Option<String> {
    let object = session.get(key)?.as_object()?;
    text_of(object, "cipher").filter(|cipher| !["", "-", "none"].contains(&cipher.as_str()))
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
