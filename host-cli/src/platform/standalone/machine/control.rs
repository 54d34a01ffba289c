//! QEMU's control socket. Source: QEMU Machine Protocol (docs/interop/qmp-spec.rst), commands of QEMU 7.2 to 10.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::link::lines::Lines;
use crate::{Error, Result};

/// Longest line that QEMU is taken serious with.
const MAX_LINE: u64 = 1 << 20;

/// An open control connection.
pub(super) struct Control {
    lines: Lines,
}

/// What a machine does, in QEMU's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunState {
    /// It runs.
    Running,
    /// It stands still because a write failed, for lack of space most likely.
    IoError,
    /// It stands still for another reason.
    Paused,
    /// It has shut down or is about to.
    Ended,
}

impl Control {
    /// Connects; everything on this connection must be over when the time is.
    ///
    /// # Errors
    /// Code `machine-silent`.
    pub(super) fn open(socket: &Path, patience: Duration) -> Result<Self> {
        let lines = Lines::connect(socket, Instant::now() + patience).map_err(silent)?;
        let mut control = Self { lines };
        // the greeting
        control.read()?;
        control.command("qmp_capabilities", &json!({}))?;
        Ok(control)
    }

    /// What the machine does.
    ///
    /// # Errors
    /// Codes `machine-silent`, `machine-refused`.
    pub(super) fn run_state(&mut self) -> Result<RunState> {
        let answer = self.command("query-status", &json!({}))?;
        Ok(match answer["status"].as_str() {
            Some("running") => RunState::Running,
            Some("io-error") => RunState::IoError,
            Some("shutdown" | "guest-panicked" | "internal-error" | "watchdog") => RunState::Ended,
            _ => RunState::Paused,
        })
    }

    /// Whether a program in the guest has opened the guest agent's channel.
    ///
    /// # Errors
    /// As [`Control::run_state`].
    pub(super) fn channel_is_open(&mut self, id: &str) -> Result<bool> {
        let answer = self.command("query-chardev", &json!({}))?;
        let devices = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(devices.iter().any(|device| device["label"] == id && device["frontend-open"] == true))
    }

    /// Whether the processor executes the guest itself.
    ///
    /// # Errors
    /// As [`Control::run_state`].
    pub(super) fn kvm(&mut self) -> Result<bool> {
        Ok(self.command("query-kvm", &json!({}))?["enabled"] == true)
    }

    /// Presses the power button.
    ///
    /// # Errors
    /// As [`Control::run_state`].
    pub(super) fn power_button(&mut self) -> Result<()> {
        self.command("system_powerdown", &json!({})).map(drop)
    }

    /// Lets a machine that stands still go on.
    ///
    /// # Errors
    /// As [`Control::run_state`].
    pub(super) fn resume(&mut self) -> Result<()> {
        self.command("cont", &json!({})).map(drop)
    }

    /// Tells the guest that a disk has another size now.
    ///
    /// # Errors
    /// As [`Control::run_state`].
    pub(super) fn resize(&mut self, node: &str, bytes: u64) -> Result<()> {
        self.command("block_resize", &json!({ "node-name": node, "size": bytes })).map(drop)
    }

    /// Ends QEMU.
    ///
    /// # Errors
    /// As [`Control::run_state`].
    pub(super) fn quit(&mut self) -> Result<()> {
        self.command("quit", &json!({})).map(drop)
    }

    fn command(&mut self, name: &str, arguments: &Value) -> Result<Value> {
        let line = format!("{}\n", json!({ "execute": name, "arguments": arguments }));
        self.lines.write(line.as_bytes()).map_err(silent)?;
        loop {
            let mut answer = self.read()?;
            if let Some(error) = answer.get("error") {
                let said = error["desc"].as_str().unwrap_or("no reason").to_owned();
                return Err(Error::infrastructure("machine-refused", format!("QEMU refused {name}: {said}"))
                    .hint(LOG));
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            // an event
        }
    }

    fn read(&mut self) -> Result<Value> {
        let line = self.lines.read(b'\n', MAX_LINE).map_err(silent)?;
        serde_json::from_slice(&line).map_err(|source| {
            Error::infrastructure("machine-silent", "QEMU's answer makes no sense").hint(LOG).source(source)
        })
    }
}

/// Where an administrator finds out more.
const LOG: &str =
    "its log is machine.log in the gateway's directory; `pve-smbgateway stop` ends it in any case";

fn silent(source: std::io::Error) -> Error {
    Error::infrastructure("machine-silent", "QEMU does not answer on its control socket")
        .hint(LOG)
        .source(source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::os::unix::net::UnixListener;

    /// A QEMU that says these lines, one for each line it hears after the greeting.
    fn qemu(answers: &'static [&'static str]) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("qmp.sock");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut writer = stream;
            writer.write_all(b"{\"QMP\": {\"version\": {}}}\n").unwrap();
            for answer in answers {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                writer.write_all(answer.as_bytes()).unwrap();
            }
            // until the other side is gone
            let _ = reader.read_to_end(&mut Vec::new());
        });
        (directory, path)
    }

    #[test]
    fn events_are_no_answers() {
        let (_directory, path) = qemu(&[
            "{\"return\": {}}\n",
            "{\"event\": \"RTC_CHANGE\", \"data\": {}}\n{\"return\": {\"status\": \"io-error\", \"running\": false}}\n",
        ]);
        let mut control = Control::open(&path, Duration::from_secs(20)).unwrap();
        assert_eq!(control.run_state().unwrap(), RunState::IoError);
    }

    #[test]
    fn a_refusal_says_why() {
        let (_directory, path) = qemu(&[
            "{\"return\": {}}\n",
            "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such node\"}}\n",
        ]);
        let error = Control::open(&path, Duration::from_secs(20)).unwrap().resize("data", 1).unwrap_err();
        assert!(error.message.contains("no such node"), "{error}");
    }

    #[test]
    fn silence_has_a_deadline() {
        let (_directory, path) = qemu(&[]);
        let error = Control::open(&path, Duration::from_millis(200)).map(drop).unwrap_err();
        assert_eq!(error.code, "machine-silent");
    }

    #[test]
    fn nobody_there() {
        let error =
            Control::open(Path::new("/nonexistent/qmp.sock"), Duration::from_secs(1)).map(drop).unwrap_err();
        assert_eq!(error.code, "machine-silent");
    }
}
