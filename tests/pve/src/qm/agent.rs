//! The guest agent, as `qm guest` uses it. Sources: PVE::QemuServer::Agent, PVE::CLI::qm; QEMU's qga/qapi-schema.json.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::life;
use super::monitor::RUN;
use crate::config::{Config, Kind, file};
use crate::faults::Fault;
use crate::json::pretty;
use crate::options::Options;
use crate::refusal::{Refusal, Result, refuse};
use crate::sim::Sim;

/// Comes before the answer to `guest-sync-delimited`, and nowhere else.
const MARK: u8 = 0xff;
/// For one command. Source: PVE::QMPClient.
const REPLY: Duration = Duration::from_secs(5);
/// For a ping. Source: PVE::QemuServer::Agent, `qga_check_running`.
const PING: Duration = Duration::from_secs(3);
/// Most bytes of stdin.
const STDIN: u64 = 1 << 20;

/// Whether a configuration has an agent.
pub fn enabled(config: &Config) -> bool {
    config.get("agent").is_some_and(|text| {
        text.split(',').any(|part| ["1", "enabled=1", "on", "yes", "true"].contains(&part))
    })
}

/// A channel that is in step.
struct Channel {
    stream: BufReader<UnixStream>,
}

impl Channel {
    fn open(vmid: u32, deadline: Duration) -> Result<Self> {
        let silent = || Refusal::new("QEMU guest agent is not running");
        let stream = UnixStream::connect(format!("{RUN}/{vmid}.qga")).map_err(|_| silent())?;
        stream.set_read_timeout(Some(deadline))?;
        stream.set_write_timeout(Some(deadline))?;
        let mut channel = Self { stream: BufReader::new(stream) };
        let id = u64::from(std::process::id());
        channel.stream.get_mut().write_all(&[MARK]).map_err(|_| silent())?;
        channel.send("guest-sync-delimited", json!({ "id": id }))?;
        let mut passed = Vec::new();
        channel.stream.read_until(MARK, &mut passed).map_err(|_| silent())?;
        let answer = channel.receive().map_err(|_| silent())?;
        if answer == id { Ok(channel) } else { Err(silent()) }
    }

    fn send(&mut self, command: &str, arguments: Value) -> Result<()> {
        let mut request = json!({ "execute": command });
        if arguments.as_object().is_some_and(|fields| !fields.is_empty()) {
            request["arguments"] = arguments;
        }
        Ok(writeln!(self.stream.get_mut(), "{request}")?)
    }

    fn receive(&mut self) -> Result<Value> {
        let mut line = Vec::new();
        let read = self.stream.by_ref().take(64 << 20).read_until(b'\n', &mut line);
        read.map_err(|_| Refusal::new("got timeout"))?;
        let mut answer: Value =
            serde_json::from_slice(&line).map_err(|_| Refusal::new("Agent error: no JSON"))?;
        if let Some(text) = answer["error"]["desc"].as_str() {
            return refuse(format!("Agent error: {text}"));
        }
        Ok(answer["return"].take())
    }

    fn ask(&mut self, command: &str, arguments: Value) -> Result<Value> {
        self.send(command, arguments)?;
        let timed_out = || Refusal::new(format!("VM qga command '{command}' failed - got timeout"));
        self.receive().map_err(|refusal| if refusal.text == "got timeout" { timed_out() } else { refusal })
    }
}

/// A channel of a machine whose agent is configured, runs and answers. Source: `check_agent_available`.
fn available(sim: &Sim, vmid: u32) -> Result<Channel> {
    let (config, _) = file::load(sim, Kind::Vm, vmid)?;
    if !enabled(&config) {
        return refuse("No QEMU guest agent configured");
    }
    if !life::running(vmid) {
        return refuse(format!("VM {vmid} is not running"));
    }
    if sim.fault == Some(Fault::NoAgent) {
        return refuse("QEMU guest agent is not running");
    }
    Channel::open(vmid, PING)?
        .ask("guest-ping", json!({}))
        .map_err(|_| Refusal::new("QEMU guest agent is not running"))?;
    Channel::open(vmid, REPLY)
}

/// Asks the guest to end.
///
/// # Errors
/// When its agent does not answer.
pub fn shutdown(vmid: u32) -> Result<()> {
    Channel::open(vmid, PING)?.send("guest-shutdown", json!({ "mode": "powerdown" }))
}

/// `qm guest cmd`.
///
/// # Errors
/// When the agent does not answer, or refuses.
pub fn command(sim: &Sim, options: &Options) -> Result<()> {
    let result = result(sim, options.vmid(), options.need("command"))?;
    println!("{}", pretty(&result));
    Ok(())
}

/// What a command of the agent returns.
///
/// # Errors
/// When the agent does not answer, or refuses.
pub fn result(sim: &Sim, vmid: u32, command: &str) -> Result<Value> {
    available(sim, vmid)?.ask(&format!("guest-{command}"), json!({}))
}

/// `qm guest exec`.
///
/// # Errors
/// When the agent does not answer, or refuses.
pub fn exec(sim: &Sim, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    let synchronous = options.flag("synchronous").unwrap_or(true);
    if !synchronous && options.get("timeout").is_some() {
        return Err(Refusal::new(
            "400 Parameter verification failed.\ntimeout: parameter 'timeout' is not allowed for asynchronous executions",
        ));
    }
    let Some((program, args)) = options.rest.split_first() else {
        return refuse("missing command");
    };
    let mut request = json!({ "path": program, "arg": args, "capture-output": true });
    if options.flag("pass-stdin") == Some(true) {
        let mut data = Vec::new();
        std::io::stdin().take(STDIN + 1).read_to_end(&mut data)?;
        if data.len() as u64 > STDIN {
            return refuse("input-data: value may only be 1048576 characters long");
        }
        request["input-data"] = STANDARD.encode(data).into();
    }
    let mut channel = available(sim, vmid)?;
    let started = channel.ask("guest-exec", request)?;
    drop(channel);
    let pid = started["pid"].clone();
    if !synchronous {
        println!("{}", pretty(&json!({ "pid": pid })));
        return Ok(());
    }
    let timeout = options.get("timeout").and_then(|text| text.parse::<u64>().ok()).unwrap_or(30);
    let end = (timeout > 0).then(|| Instant::now() + Duration::from_secs(timeout));
    loop {
        let late = sim.fault == Some(Fault::AgentTimeout) || end.is_some_and(|end| Instant::now() >= end);
        if late {
            eprintln!("timeout reached, returning pid");
            println!("{}", pretty(&json!({ "pid": pid })));
            return Ok(());
        }
        let status = status(sim, vmid, &pid)?;
        if status["exited"] == 1 {
            println!("{}", pretty(&status));
            return Ok(());
        }
        // the real one waits for a second
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// `qm guest exec-status`.
///
/// # Errors
/// When the agent does not answer, or does not know the process.
pub fn exec_status(sim: &Sim, options: &Options) -> Result<()> {
    let pid = options.need("pid").parse::<u64>().unwrap_or_default().into();
    println!("{}", pretty(&status(sim, options.vmid(), &pid)?));
    Ok(())
}

fn status(sim: &Sim, vmid: u32, pid: &Value) -> Result<Value> {
    let answer = available(sim, vmid)?.ask("guest-exec-status", json!({ "pid": pid }))?;
    Ok(Value::Object(told(&answer)))
}

/// As Proxmox VE tells it: numbers for truths, and each byte of output as the character of that number.
fn told(answer: &Value) -> Map<String, Value> {
    let mut fields = Map::new();
    for (key, value) in answer.as_object().into_iter().flatten() {
        let value = match value {
            Value::Bool(truth) => Value::from(u8::from(*truth)),
            Value::String(data) if key.ends_with("-data") => {
                let bytes = STANDARD.decode(data).unwrap_or_default();
                bytes.into_iter().map(char::from).collect::<String>().into()
            }
            other => other.clone(),
        };
        fields.insert(key.clone(), value);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_encoded_twice() {
        let answer = json!({ "exited": true, "exitcode": 3, "out-data": STANDARD.encode("Bü") });
        assert_eq!(
            pretty(&Value::Object(told(&answer))),
            "{\n   \"exitcode\" : 3,\n   \"exited\" : 1,\n   \"out-data\" : \"B\u{c3}\u{bc}\"\n}"
        );
    }

    #[test]
    fn an_agent_is_enabled() {
        let mut config = Config::default();
        for (text, truth) in
            [("1", true), ("enabled=1,fstrim_cloned_disks=1", true), ("0", false), ("enabled=0", false)]
        {
            config.set("agent", text);
            assert_eq!(enabled(&config), truth, "{text}");
        }
    }
}
