//! QEMU's control socket. Source: QEMU's docs/interop/qmp-spec.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::refusal::{Refusal, Result, refuse};

/// Where machines have their sockets.
pub const RUN: &str = "/var/run/qemu-server";

/// A connection.
pub struct Monitor {
    stream: BufReader<UnixStream>,
}

impl Monitor {
    /// Connects to a machine's.
    ///
    /// # Errors
    /// When it does not run.
    pub fn open(vmid: u32) -> Result<Self> {
        let stream = UnixStream::connect(format!("{RUN}/{vmid}.qmp"))
            .map_err(|_| Refusal::new(format!("VM {vmid} not running")))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut monitor = Self { stream: BufReader::new(stream) };
        monitor.line()?;
        monitor.ask("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        serde_json::from_str(&line).map_err(|_| Refusal::new("got no answer from QEMU"))
    }

    /// Asks, and gives what is returned.
    ///
    /// # Errors
    /// When QEMU refuses.
    pub fn ask(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let mut request = json!({ "execute": command });
        if arguments.as_object().is_some_and(|fields| !fields.is_empty()) {
            request["arguments"] = arguments;
        }
        writeln!(self.stream.get_mut(), "{request}")?;
        loop {
            let mut answer = self.line()?;
            if answer.get("return").is_some() {
                return Ok(answer["return"].take());
            }
            if let Some(text) = answer["error"]["desc"].as_str() {
                return refuse(text);
            }
        }
    }
}
