//! Running a command for real.

use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::{Command, CommandError, Interrupt, Output, Runner, Stdin};

/// Where programs are looked for. Fixed, so that the caller's PATH cannot choose what root runs.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Bytes of stderr kept for errors.
const STDERR_TAIL: usize = 8 << 10;
/// How often a wait looks at the interrupt flag. The end of the process wakes it at once.
const INTERRUPT_POLL: Duration = Duration::from_millis(50);
/// Time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// Runs commands on this machine.
#[derive(Debug, Clone, Default)]
pub struct System {
    interrupt: Interrupt,
    path: Option<String>,
    contained: bool,
}

/// What a long command reads and tells while it runs.
#[derive(Default)]
pub struct Streams<'a> {
    /// Read to its end into the command's stdin.
    pub stdin: Option<Box<dyn Read + Send + 'a>>,
    /// Called with each line of stderr as it comes.
    pub on_stderr_line: Option<OnLine<'a>>,
}

/// Called with each line.
pub type OnLine<'a> = Box<dyn FnMut(&str) + Send + 'a>;

impl System {
    /// A runner that nothing interrupts.
    pub fn new() -> Self {
        Self::default()
    }

    /// A runner that ends its commands when the flag is set.
    pub fn with_interrupt(interrupt: Interrupt) -> Self {
        Self { interrupt, ..Self::default() }
    }

    /// A runner inside a process namespace: what it starts ends with that, and need not ask to end with us. So programs that are
    /// named by their path start by posix_spawn(3), where a fork would copy the page tables of a large process.
    pub fn contained() -> Self {
        Self { contained: true, ..Self::default() }
    }

    /// Looks for programs in `directories` (colon-separated) before the system directories.
    #[must_use]
    pub fn search_first(mut self, directories: &str) -> Self {
        self.path = Some(format!("{directories}:{SEARCH_PATH}"));
        self
    }

    /// As [`Runner::run`], with streams: for long commands that are fed, or that tell their progress.
    ///
    /// # Errors
    /// As [`Runner::run`]; [`CommandError::Io`] also when reading the given stdin stream fails.
    pub fn run_streaming(&self, command: &Command, streams: Streams<'_>) -> Result<Output, CommandError> {
        let started = Instant::now();
        let piped = streams.stdin.is_some() || !matches!(command.stdin, Stdin::Empty);
        let mut child = self.spawn(command, piped)?;
        let io = |source| CommandError::Io { command: command.display(), source };
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());

        let (ended, fed, out, err) = std::thread::scope(|scope| {
            let (open, stdin) = match command.stdin {
                Stdin::Open => (stdin, None),
                _ => (None, stdin),
            };
            let feeder = stdin.map(|pipe| {
                let data = command.stdin_data();
                scope.spawn(move || feed(pipe, data, streams.stdin))
            });
            let out = stdout.map(|pipe| scope.spawn(move || read_bounded(pipe, command.stdout_limit)));
            let err = stderr.map(|pipe| scope.spawn(move || read_tail(pipe, streams.on_stderr_line)));
            let ended = self.wait(&mut child, command);
            drop(open);
            (ended, feeder.map(join), out.map(join), err.map(join))
        });

        let stderr = err.unwrap_or_default();
        tracing::debug!(command = %command.display(), took_ms = started.elapsed().as_millis() as u64, "ran");
        let status = match ended.map_err(io)? {
            Ended::Exit(status) => status,
            Ended::TimedOut => {
                return Err(CommandError::TimedOut {
                    command: command.display(),
                    deadline: command.deadline,
                    stderr,
                });
            }
            Ended::Interrupted => {
                return Err(CommandError::Interrupted { command: command.display() });
            }
        };
        let out = out.unwrap_or(Ok((Vec::new(), false))).map_err(io)?;
        let (stdout, truncated) = out;
        let code = status.code();
        match code {
            Some(code) if command.accepted.contains(&code) => {
                if truncated {
                    return Err(CommandError::OutputTooLarge {
                        command: command.display(),
                        limit: command.stdout_limit,
                    });
                }
                fed.unwrap_or(Ok(())).map_err(io)?;
                Ok(Output { code, stdout, stderr })
            }
            _ => Err(CommandError::Failed {
                command: command.display(),
                code,
                status: describe(status),
                stderr,
                stdout: text_tail(&stdout),
            }),
        }
    }

    fn spawn(&self, command: &Command, piped_stdin: bool) -> Result<Child, CommandError> {
        let mut process = self.prepare(command);
        process
            // own group: a deadline ends helpers too, and Ctrl-C reaches us first so that we can undo
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .stdin(if piped_stdin { Stdio::piped() } else { Stdio::null() });
        if !self.contained {
            die_with_parent(&mut process);
        }
        process.spawn().map_err(|source| not_started(command, source))
    }

    /// Program, arguments, clean environment, directory and user; nothing is started yet.
    pub(crate) fn prepare(&self, command: &Command) -> std::process::Command {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that starts processes")]
        let mut process = std::process::Command::new(&command.program);
        process
            .args(&command.args)
            .env_clear()
            .env("PATH", self.path.as_deref().unwrap_or(SEARCH_PATH))
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", "/root")
            .envs(command.env.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &command.directory {
            process.current_dir(directory);
        }
        if let Some((uid, gid)) = command.user {
            process.uid(uid).gid(gid);
        }
        process
    }

    fn wait(&self, child: &mut Child, command: &Command) -> io::Result<Ended> {
        let deadline = Instant::now() + command.deadline;
        let ended = wait_exit(child, deadline, Some(&self.interrupt))?;
        if let Ended::Exit(_) = ended {
            return Ok(ended);
        }
        signal_group(child, Signal::TERM);
        if !matches!(wait_exit(child, Instant::now() + GRACE, None)?, Ended::Exit(_)) {
            signal_group(child, Signal::KILL);
            child.wait()?;
        }
        // what the leader started may outlive it and would keep our pipes open
        signal_group(child, Signal::KILL);
        Ok(ended)
    }
}

impl Runner for System {
    fn run(&self, command: &Command) -> Result<Output, CommandError> {
        self.run_streaming(command, Streams::default())
    }
}

enum Ended {
    Exit(ExitStatus),
    TimedOut,
    Interrupted,
}

fn wait_exit(child: &mut Child, deadline: Instant, interrupt: Option<&Interrupt>) -> io::Result<Ended> {
    let pidfd = Pid::from_raw(child.id() as i32)
        .ok_or_else(|| io::Error::other("a child without a pid"))
        .and_then(|pid| Ok(pidfd_open(pid, PidfdFlags::empty())?))?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ended::Exit(status));
        }
        if interrupt.is_some_and(Interrupt::is_set) {
            return Ok(Ended::Interrupted);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Ended::TimedOut);
        }
        let slice = left.min(INTERRUPT_POLL);
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(slice.subsec_nanos().max(1)) };
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn signal_group(child: &Child, signal: Signal) {
    if let Some(pid) = Pid::from_raw(child.id() as i32) {
        // the group may be gone already, which is what is wanted
        let _ = kill_process_group(pid, signal);
    }
}

/// Asks the kernel to end the child when we are killed, so that nothing half-done goes on without us.
fn die_with_parent(process: &mut std::process::Command) {
    #[expect(unsafe_code, reason = "pre_exec is unsafe; prctl(2) is async-signal-safe and allocates nothing")]
    // SAFETY: the closure makes one system call between fork and exec and touches no memory of the parent.
    unsafe {
        process.pre_exec(|| {
            rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
            Ok(())
        });
    }
}

fn feed(
    mut pipe: impl Write,
    data: Option<Vec<u8>>,
    stream: Option<Box<dyn Read + Send + '_>>,
) -> io::Result<()> {
    let fed = match stream {
        Some(mut stream) => io::copy(&mut stream, &mut pipe).map(drop),
        None => pipe.write_all(&data.unwrap_or_default()),
    };
    match fed {
        // the program stopped reading: its exit status says whether that was a failure
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Reads to the end, keeps at most `limit` bytes; the flag says whether there was more.
fn read_bounded(mut pipe: impl Read, limit: usize) -> io::Result<(Vec<u8>, bool)> {
    let mut kept = Vec::new();
    pipe.by_ref().take(limit as u64).read_to_end(&mut kept)?;
    let more = io::copy(&mut pipe, &mut io::sink())?;
    Ok((kept, more > 0))
}

fn read_tail(pipe: impl Read, mut on_line: Option<OnLine<'_>>) -> String {
    let mut tail: Vec<u8> = Vec::new();
    let mut line: Vec<u8> = Vec::new();
    let mut pipe = pipe;
    let mut buffer = [0u8; 4096];
    while let Ok(count) = pipe.read(&mut buffer) {
        if count == 0 {
            break;
        }
        let chunk = &buffer[..count];
        if let Some(on_line) = &mut on_line {
            for &byte in chunk {
                if byte == b'\n' || byte == b'\r' {
                    on_line(&String::from_utf8_lossy(&line));
                    line.clear();
                } else if line.len() < STDERR_TAIL {
                    line.push(byte);
                }
            }
        }
        tail.extend_from_slice(chunk);
        if tail.len() > 2 * STDERR_TAIL {
            tail.drain(..tail.len() - STDERR_TAIL);
        }
    }
    text_tail(&tail)
}

fn text_tail(bytes: &[u8]) -> String {
    let start = bytes.len().saturating_sub(STDERR_TAIL);
    String::from_utf8_lossy(&bytes[start..]).trim().to_owned()
}

/// The error of a process that could not be started.
pub(crate) fn not_started(command: &Command, source: io::Error) -> CommandError {
    match source.kind() {
        io::ErrorKind::NotFound
            if command.directory.as_ref().is_none_or(|d| std::path::Path::new(d).is_dir()) =>
        {
            CommandError::NotInstalled { program: command.program.clone() }
        }
        _ => CommandError::Start { command: command.display(), source },
    }
}

pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    }
}

fn join<T>(handle: std::thread::ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        Command::new("sh").args(["-c", script])
    }

    #[test]
    fn takes_stdout_and_the_exit_code() {
        let output = System::new().run(&sh("echo hello; exit 3").accept(&[3])).unwrap();
        assert_eq!((output.code, output.stdout.as_slice()), (3, &b"hello\n"[..]));
    }

    #[test]
    fn failure_names_program_status_and_stderr() {
        let error = System::new().run(&sh("echo no such thing >&2; exit 7")).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("exit code 7") && text.contains("no such thing") && text.contains("sh -c"),
            "{text}"
        );
    }

    #[test]
    fn missing_program_is_said_plainly() {
        let error = System::new().run(&Command::new("smbgw-no-such-program")).unwrap_err();
        assert!(matches!(error, CommandError::NotInstalled { .. }), "{error}");
    }

    #[test]
    fn deadline_ends_the_whole_group() {
        let start = Instant::now();
        let command = sh("sleep 60 & sleep 60; echo never").deadline(Duration::from_millis(200));
        let error = System::new().run(&command).unwrap_err();
        assert!(matches!(error, CommandError::TimedOut { .. }), "{error}");
        assert!(start.elapsed() < Duration::from_secs(20), "the pipe of a grandchild held us");
    }

    #[test]
    fn a_term_proof_program_is_killed() {
        let command = sh("trap '' TERM; while :; do sleep 0.1; done").deadline(Duration::from_millis(100));
        assert!(matches!(System::new().run(&command).unwrap_err(), CommandError::TimedOut { .. }));
    }

    #[test]
    fn interrupt_ends_it_early() {
        let interrupt = Interrupt::new();
        interrupt.set();
        let error = System::with_interrupt(interrupt).run(&sh("sleep 60")).unwrap_err();
        assert!(matches!(error, CommandError::Interrupted { .. }), "{error}");
    }

    #[test]
    fn endless_output_is_bounded() {
        let command = sh("head -c 3000000 /dev/zero").stdout_limit(1000);
        let error = System::new().run(&command).unwrap_err();
        assert!(matches!(error, CommandError::OutputTooLarge { limit: 1000, .. }), "{error}");
    }

    #[test]
    fn secrets_reach_stdin_and_nothing_else() {
        let command = sh("cat; tr '\\0' ' ' < /proc/self/cmdline; env").stdin_secret("canary-77".into());
        let text = System::new().run(&command).unwrap().text(&command).unwrap();
        assert_eq!(text.matches("canary-77").count(), 1, "{text}");
    }

    #[test]
    fn an_open_stdin_has_no_end_and_holds_nobody() {
        let command = Command::new("bash").args(["-c", "read -t 0.2; echo $?"]).stdin_open();
        let more_than_128_is_a_timeout = System::new().run(&command).unwrap().text(&command).unwrap();
        assert!(more_than_128_is_a_timeout.trim().parse::<u8>().unwrap() > 128);
    }

    #[test]
    fn environment_is_clean() {
        let command = sh("env | grep -c CARGO").accept(&[1]);
        assert_eq!(System::new().run(&command).unwrap().stdout, b"0\n");
    }

    #[test]
    fn streams_feed_and_tell() {
        let mut lines = Vec::new();
        let output = System::new()
            .run_streaming(
                &sh("cat; echo one >&2; echo two >&2"),
                Streams {
                    stdin: Some(Box::new(&b"input"[..])),
                    on_stderr_line: Some(Box::new(|line| lines.push(line.to_owned()))),
                },
            )
            .unwrap();
        assert_eq!((output.stdout.as_slice(), lines), (&b"input"[..], vec!["one".into(), "two".into()]));
    }
}
