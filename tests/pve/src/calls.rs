//! Every call that was made: `control/calls`, one JSON object a line.

use std::fs::OpenOptions;
use std::io::Write;

use serde::Serialize;

use crate::world::{Node, now};

/// A call, when it has ended.
#[derive(Debug, Serialize)]
pub struct Entry<'a> {
    /// The node that it was made on.
    pub node: &'a str,
    /// Program and arguments.
    pub argv: &'a [String],
    /// Exit code; none while it runs, and for ever when it was killed.
    pub code: Option<i32>,
    /// When, in seconds since 1970.
    pub time: u64,
    /// Milliseconds from start to end.
    pub took: u128,
}

/// Notes a call.
pub fn note(node: &Node, argv: &[String], code: Option<i32>, took: u128) {
    let entry = Entry { node: &node.name, argv, code, time: now(), took };
    let Ok(mut line) = serde_json::to_string(&entry) else { return };
    line.push('\n');
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(node.control("calls")) {
        let _ = file.write_all(line.as_bytes());
    }
}
