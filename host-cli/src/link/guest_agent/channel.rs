//! The guest agent's channel as a unix socket on the node. Source: QEMU Guest Agent Protocol Reference (QEMU 7.2 to 10);
//! behaviour of the virtio-serial port observed: a second client of the socket is not served until the first has left, and
//! what an earlier client did not read is still there for the next.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};
use smbgw_command::{Interrupt, wait_until};

use super::{Program, Ran};
use crate::link::lines::Lines;
use crate::{Error, Result};

/// Longest line that a guest is listened to for: its agent keeps 16 MiB of output, which is 22 MiB as base64.
const MAX_LINE: u64 = 24 << 20;
/// Most bytes of old answers and rubbish that are skipped.
const MAX_RUBBISH: u64 = 64 << 20;
/// Time for the agent to show that it is there.
const SYNC: Duration = Duration::from_secs(5);
/// Begins a message anew, whatever was before it (`guest-sync-delimited`).
const DELIMITER: u8 = 0xff;

/// An open, synchronised channel. Held only while a request runs: backups and shutdowns need it, too.
pub struct Channel {
    lines: Lines,
    _turn: Option<File>,
}

impl Channel {
    /// Opens the channel and makes sure that an agent listens. What earlier clients left behind is skipped. `lock` is a file
    /// of ours by which we take turns, so that two of us do not wait for each other in QEMU's queue.
    ///
    /// # Errors
    /// Code `guest-agent-silent` when nobody answers, `guest-agent-busy` when another request has it all the time,
    /// `guest-stopped` when there is no QEMU at the other end.
    pub fn open(socket: &Path, lock: Option<&Path>, deadline: Instant) -> Result<Self> {
        let turn = lock.map(|lock| turn(lock, deadline)).transpose()?;
        let sync_by = deadline.min(Instant::now() + SYNC);
        let lines = Lines::connect(socket, sync_by).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                Error::infrastructure("guest-stopped", "nobody holds the guest agent's channel").source(error)
            }
            _ => silent(error),
        })?;
        let mut channel = Self { lines, _turn: turn };
        let id = (crate::world::random()? >> 80) as u64;
        let sync = json!({ "execute": "guest-sync-delimited", "arguments": { "id": id } });
        let mut message = vec![DELIMITER];
        message.extend(format!("{sync}\n").into_bytes());
        channel.write(&message)?;
        channel.skip_to(id)?;
        channel.lines.deadline = deadline;
        Ok(channel)
    }

    /// Asks the agent to shut its machine down; it answers by doing it.
    ///
    /// # Errors
    /// Code `guest-agent-silent`.
    pub fn shut_down(mut self) -> Result<()> {
        self.write(b"{\"execute\":\"guest-shutdown\",\"arguments\":{\"mode\":\"powerdown\"}}\n")
    }

    /// Runs a program and waits for its end.
    ///
    /// # Errors
    /// Codes `guest-frozen`, `guest-exec-failed`, `guest-agent-silent`, `guest-agent-garbage`.
    pub fn exec(&mut self, program: &Program) -> Result<Ran> {
        let started = self.command(
            "guest-exec",
            &json!({
                "path": program.path,
                "arg": program.args,
                "input-data": BASE64_STANDARD.encode(&program.input),
                "capture-output": true,
            }),
        )?;
        let pid =
            started["pid"].as_i64().ok_or_else(|| garbage("it does not say which process it started"))?;
        let left = self.lines.deadline.saturating_duration_since(Instant::now());
        let ran = wait_until("the program in the guest to end", left, &Interrupt::new(), || {
            match self.command("guest-exec-status", &json!({ "pid": pid })) {
                Ok(status) if status["exited"] == true => Some(ran(&status)),
                Ok(_) => None,
                Err(error) => Some(Err(error)),
            }
        });
        ran.unwrap_or_else(|_| Err(silent(ErrorKind::TimedOut.into())))
    }

    fn command(&mut self, name: &str, arguments: &Value) -> Result<Value> {
        self.write(format!("{}\n", json!({ "execute": name, "arguments": arguments })).as_bytes())?;
        let line = self.line(b'\n', MAX_LINE)?;
        let mut answer: Value = serde_json::from_slice(&line).map_err(|_| garbage("it is not JSON"))?;
        if let Some(error) = answer.get("error") {
            let said = error["desc"].as_str().unwrap_or("no reason").to_owned();
            // how it says that a command is off for as long as the guest is frozen differs between versions
            let frozen = name == "guest-exec" && said.contains("disabled") && self.is_frozen();
            return Err(refused(&said, frozen));
        }
        answer.get_mut("return").map(Value::take).ok_or_else(|| garbage("it neither returns nor fails"))
    }

    fn is_frozen(&mut self) -> bool {
        self.command("guest-fsfreeze-status", &json!({})).is_ok_and(|status| status == "frozen")
    }

    /// Skips everything up to the answer to our synchronisation.
    fn skip_to(&mut self, id: u64) -> Result<()> {
        let mut left = MAX_RUBBISH;
        loop {
            // a line may be longer than was allowed by what one read brought
            left = left.saturating_sub(self.line(DELIMITER, left)?.len() as u64);
            let line = self.line(b'\n', left)?;
            left = left.saturating_sub(line.len() as u64);
            // an older one, or rubbish that happens to have the delimiter in it
            let answer: Value = serde_json::from_slice(&line).unwrap_or_default();
            if answer["return"] == id {
                return Ok(());
            }
            if left == 0 {
                return Err(garbage("it does not stop"));
            }
        }
    }

    fn line(&mut self, end: u8, most: u64) -> Result<Vec<u8>> {
        self.lines.read(end, most).map_err(|error| match error.kind() {
            ErrorKind::InvalidData => garbage("it does not stop"),
            _ => silent(error),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.lines.write(bytes).map_err(silent)
    }
}

fn turn(path: &Path, deadline: Instant) -> Result<File> {
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(silent)?;
    let left = deadline.saturating_duration_since(Instant::now());
    let locked = wait_until("the guest agent's channel", left, &Interrupt::new(), || {
        flock(&file, FlockOperation::NonBlockingLockExclusive).ok()
    });
    match locked {
        Ok(()) => Ok(file),
        Err(_) => {
            Err(Error::infrastructure("guest-agent-busy", "another request has the guest agent's channel")
                .hint("wait for it; `pve-smbgateway ops list` shows operations"))
        }
    }
}

fn ran(status: &Value) -> Result<Ran> {
    let bytes = |key: &str| match &status[key] {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => BASE64_STANDARD.decode(text).map_err(|_| garbage("its output is not base64")),
        _ => Err(garbage("its output is not base64")),
    };
    Ok(Ran {
        code: status["exitcode"].as_i64().and_then(|code| i32::try_from(code).ok()),
        output: bytes("out-data")?,
        errors: bytes("err-data")?,
        truncated: status["out-truncated"] == true,
    })
}

fn refused(said: &str, frozen: bool) -> Error {
    let said: String = said.chars().filter(|c| !c.is_control()).take(300).collect();
    if frozen {
        return Error::infrastructure("guest-frozen", "the guest's file systems are frozen")
            .hint("a backup does that for moments; if it stays so, `pve-smbgateway stop` and `start`");
    }
    Error::infrastructure("guest-exec-failed", format!("the guest agent refused: {said}"))
        .hint("is the gateway made from a template of this project? create it anew, its data stays")
}

fn silent(source: std::io::Error) -> Error {
    Error::infrastructure("guest-agent-silent", "the guest agent does not answer").source(source)
}

fn garbage(why: &str) -> Error {
    Error::infrastructure("guest-agent-garbage", format!("the guest agent's answer makes no sense: {why}"))
        .hint("the gateway is damaged or was tampered with; create it anew, its data stays")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixListener;

    /// A guest agent: `before` is in the channel already; `answer` says what comes for each message.
    fn guest(
        before: &'static [u8],
        answer: impl Fn(&Value) -> Option<Vec<u8>> + Send + 'static,
    ) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("qga.sock");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.write_all(before);
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                let start = line.iter().rposition(|byte| *byte == DELIMITER).map_or(0, |at| at + 1);
                let message: Value = serde_json::from_slice(&line[start..]).unwrap();
                if let Some(bytes) = answer(&message) {
                    let _ = stream.write_all(&bytes);
                }
                line.clear();
            }
        });
        (directory, path)
    }

    fn sync(message: &Value) -> Vec<u8> {
        let mut bytes = vec![DELIMITER];
        bytes.extend(format!("{{\"return\": {}}}\n", message["arguments"]["id"]).into_bytes());
        bytes
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(800)
    }

    fn open(path: &Path) -> Result<Channel> {
        Channel::open(path, Some(&path.with_extension("lock")), soon())
    }

    const TRUE: Program = Program { path: String::new(), args: Vec::new(), input: Vec::new() };

    #[test]
    fn what_earlier_clients_left_is_skipped() {
        let before = b"{\"return\": {}}\n\xffrubbish\n\xff{\"return\": 5}\n\x00\x01half a line \xff{\"ret";
        let (_directory, path) = guest(before, |message| {
            Some(match message["execute"].as_str().unwrap() {
                "guest-sync-delimited" => {
                    let mut bytes = b"urn\": 7}\n".to_vec();
                    bytes.extend(sync(message));
                    bytes
                }
                "guest-exec" => b"{\"return\": {\"pid\": 7}}\n".to_vec(),
                _ => b"{\"return\": {\"exited\": true, \"exitcode\": 3, \"out-data\": \"aGk=\"}}\n".to_vec(),
            })
        });
        let ran = open(&path).unwrap().exec(&TRUE).unwrap();
        assert_eq!((ran.code, ran.output.as_slice(), ran.truncated), (Some(3), &b"hi"[..], false));
    }

    #[test]
    fn a_frozen_guest_is_told_from_a_failing_one() {
        for (said, status, code) in [
            ("Command guest-exec has been disabled: the agent is in frozen state", "frozen", "guest-frozen"),
            ("Command guest-exec has been disabled: the command is not allowed", "frozen", "guest-frozen"),
            (
                "Command guest-exec has been disabled: the command is not allowed",
                "thawed",
                "guest-exec-failed",
            ),
            ("Failed to execute child process", "thawed", "guest-exec-failed"),
        ] {
            let (_directory, path) = guest(b"", move |message| {
                Some(match message["execute"].as_str() {
                    Some("guest-exec") => {
                        format!("{{\"error\": {{\"class\": \"GenericError\", \"desc\": \"{said}\"}}}}\n")
                            .into_bytes()
                    }
                    Some("guest-fsfreeze-status") => format!("{{\"return\": \"{status}\"}}\n").into_bytes(),
                    _ => sync(message),
                })
            });
            assert_eq!(open(&path).unwrap().exec(&TRUE).unwrap_err().code, code);
        }
    }

    #[test]
    fn silence_has_a_deadline() {
        let (_directory, path) = guest(b"noise", |_| None);
        assert_eq!(open(&path).map(drop).unwrap_err().code, "guest-agent-silent");
        let (_directory, path) =
            guest(b"", |message| (message["execute"] == "guest-sync-delimited").then(|| sync(message)));
        let error = open(&path).unwrap().exec(&TRUE).unwrap_err();
        assert_eq!(error.code, "guest-agent-silent");
    }

    #[test]
    fn no_machine_is_no_silence() {
        let (directory, path) = guest(b"", |_| None);
        assert_eq!(open(&directory.path().join("none")).map(drop).unwrap_err().code, "guest-stopped");
        drop(std::fs::remove_file(&path));
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert_eq!(open(&path).map(drop).unwrap_err().code, "guest-stopped");
    }

    #[test]
    fn one_request_at_a_time() {
        let (_directory, path) = guest(b"", |message| Some(sync(message)));
        let first = open(&path).unwrap();
        assert_eq!(open(&path).map(drop).unwrap_err().code, "guest-agent-busy");
        drop(first);
    }

    #[test]
    fn nonsense_is_nonsense() {
        let (_directory, path) = guest(b"", |message| {
            Some(if message["execute"] == "guest-exec" { b"[1, 2\n".to_vec() } else { sync(message) })
        });
        assert_eq!(open(&path).unwrap().exec(&TRUE).unwrap_err().code, "guest-agent-garbage");
    }
}
