//! The guest agent's channel. Source: QEMU's qga/qapi-schema.json.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use smbgw_command::{Interrupt, wait_until};

use crate::Answer;

/// The channel's name in a machine's directory.
pub(super) const SOCKET: &str = "qga.sock";
/// Comes before the answer to `guest-sync-delimited`, and nowhere else.
const MARK: u8 = 0xff;

/// A channel that is in step: the next line is the answer to the next request.
pub(super) struct Channel {
    stream: BufReader<UnixStream>,
}

impl Channel {
    /// Connects, and passes over what others left.
    pub(super) fn open(directory: &Path, deadline: Duration) -> Result<Self> {
        let stream = UnixStream::connect(directory.join(SOCKET)).context("connecting to the guest agent")?;
        stream.set_read_timeout(Some(deadline))?;
        let mut channel = Self { stream: BufReader::new(stream) };
        let id = u64::from(std::process::id());
        channel.stream.get_mut().write_all(&[MARK])?;
        channel.send("guest-sync-delimited", json!({ "id": id }))?;
        let mut passed = Vec::new();
        channel.stream.read_until(MARK, &mut passed).context("the guest agent does not answer")?;
        ensure!(channel.receive()? == id, "the guest agent answers to somebody else");
        Ok(channel)
    }

    fn send(&mut self, verb: &str, arguments: Value) -> Result<()> {
        let request = json!({ "execute": verb, "arguments": arguments });
        writeln!(self.stream.get_mut(), "{request}").with_context(|| format!("sending {verb}"))
    }

    fn receive(&mut self) -> Result<Value> {
        let mut line = Vec::new();
        self.stream
            .by_ref()
            .take(64 << 20)
            .read_until(b'\n', &mut line)
            .context("waiting for the guest agent")?;
        let mut answer: Value = serde_json::from_slice(&line)
            .with_context(|| format!("the guest agent says {:?}", String::from_utf8_lossy(&line)))?;
        ensure!(answer.get("error").is_none(), "the guest agent refuses: {answer}");
        Ok(answer["return"].take())
    }

    /// Runs a program to its end.
    pub(super) fn run(&mut self, program: &str, args: &[&str], deadline: Duration) -> Result<Answer> {
        let command = format!("{program} {}", args.join(" "));
        self.send("guest-exec", json!({ "path": program, "arg": args, "capture-output": true }))?;
        let pid = self.receive().with_context(|| format!("starting `{command}` in the guest"))?["pid"].take();
        let status = wait_until(
            &format!("the end of `{command}` in the guest"),
            deadline,
            &Interrupt::new(),
            || match self.status(&pid) {
                Ok(status) => (status["exited"] == true).then_some(Ok(status)),
                Err(error) => Some(Err(error)),
            },
        )??;
        let code = status["exitcode"].as_i64().or(status["signal"].as_i64().map(|signal| -signal));
        let code = i32::try_from(code.context("neither exit code nor signal")?)?;
        Ok(Answer {
            command,
            code,
            stdout: decoded(&status["out-data"])?,
            stderr: decoded(&status["err-data"])?,
        })
    }

    fn status(&mut self, pid: &Value) -> Result<Value> {
        self.send("guest-exec-status", json!({ "pid": pid }))?;
        self.receive()
    }
}

fn decoded(data: &Value) -> Result<String> {
    let bytes = STANDARD.decode(data.as_str().unwrap_or_default()).context("output that is not base64")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
