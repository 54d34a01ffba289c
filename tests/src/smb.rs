//! `smbclient`, as a person would use it; the password lies in a file that only root can read.

use std::fs;
use std::io::{BufRead, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use smbgw_command::Command;

use crate::domain::Ticket;
use crate::{Answer, files};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A client of one share, as one user.
#[derive(Debug)]
pub struct Client {
    address: String,
    share: String,
    auth: Option<PathBuf>,
    ticket: Option<Ticket>,
    options: Vec<String>,
}

impl Client {
    /// A client whose password file lies in `directory`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn new(directory: &Path, address: &str, share: &str, user: &str, password: &str) -> Result<Self> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let auth = directory.join(format!("auth-{}-{number}", std::process::id()));
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&auth)
            .with_context(|| format!("making {}", auth.display()))?;
        write!(file, "username = {user}\npassword = {password}\n")?;
        Ok(Self {
            address: address.to_owned(),
            share: share.to_owned(),
            auth: Some(auth),
            ticket: None,
            options: Vec::new(),
        })
    }

    /// A client that shows a ticket for the server of this name in the domain, and has no other way in.
    pub fn kerberos(address: &str, name: &str, share: &str, ticket: Ticket) -> Self {
        Self {
            address: name.to_owned(),
            share: share.to_owned(),
            auth: None,
            // the name is what the ticket is for; where that is need not be in DNS
            options: vec![
                format!("--ip-address={address}"),
                format!("--use-krb5-ccache={}", ticket.name()),
                "--use-kerberos=required".to_owned(),
            ],
            ticket: Some(ticket),
        }
    }

    /// A client without a name or password.
    pub fn guest(address: &str, share: &str) -> Self {
        let (address, share) = (address.to_owned(), share.to_owned());
        Self { address, share, auth: None, ticket: None, options: Vec::new() }
    }

    /// Adds an option of smbclient, as `--max-protocol=NT1`.
    #[must_use]
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program)
            .arg(format!("//{}/{}", self.address, self.share))
            .args(&self.options)
            .deadline(Duration::from_secs(300));
        command = match &self.auth {
            Some(auth) => command.arg("-A").arg(auth.display().to_string()),
            None => command.arg("-N"),
        };
        match &self.ticket {
            Some(ticket) => ticket.give(command),
            None => command,
        }
    }

    /// Runs commands of smbclient, separated by `;`.
    ///
    /// # Errors
    /// When smbclient cannot be run at all.
    pub fn run(&self, commands: &str) -> Result<Answer> {
        Answer::of(&self.command("smbclient").args(["-c", commands]))
    }

    /// Runs commands of smbclient as from a keyboard: there, `!` runs a command of this machine while the session is open.
    ///
    /// # Errors
    /// When smbclient cannot be run at all.
    pub fn run_lines(&self, lines: &str) -> Result<Answer> {
        Answer::of(&self.command("smbclient").stdin(lines))
    }

    /// Runs `smbcacls` on a file of the share.
    ///
    /// # Errors
    /// When smbcacls cannot be run at all.
    pub fn acl(&self, file: &str, args: &[&str]) -> Result<Answer> {
        Answer::of(&self.command("smbcacls").arg(file).args(args.iter().copied()))
    }

    /// Size and free space of the share in MiB, as a client sees them.
    ///
    /// # Errors
    /// When the server does not say.
    pub fn size(&self) -> Result<(u64, u64)> {
        size(&self.run("du")?.ok()?)
    }

    /// Writes a local file to the share.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn put(&self, local: &Path, remote: &str) -> Result<()> {
        let answer = self.run(&format!("put \"{}\" \"{remote}\"", local.display()))?.ok()?;
        ensure!(!answer.all().contains("NT_STATUS"), "{answer}");
        Ok(())
    }

    /// Reads a file of the share into a local one.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn get(&self, remote: &str, local: &Path) -> Result<()> {
        let answer = self.run(&format!("get \"{remote}\" \"{}\"", local.display()))?.ok()?;
        ensure!(!answer.all().contains("NT_STATUS"), "{answer}");
        Ok(())
    }

    /// Writes a file, reads it back, and gives the id of its owner on the node.
    ///
    /// # Errors
    /// When the server refuses, or what was read is not what was written.
    pub fn owner_of_new(&self, gateway: &crate::Gateway, scratch: &Path, file: &str) -> Result<u32> {
        let (sent, got) = (scratch.join("sent"), scratch.join("got"));
        files::random_file(&sent, 1)?;
        let _ = std::fs::remove_file(&got);
        self.put(&sent, file)?;
        self.get(file, &got)?;
        ensure!(files::sha256(&sent)? == files::sha256(&got)?, "what was read is not what was written");
        Ok(std::fs::metadata(gateway.path.join(file))?.uid())
    }

    /// Expects that a command is refused, with this status.
    ///
    /// # Errors
    /// When it is not refused, or with another status.
    pub fn refused(&self, commands: &str, status: &str) -> Result<()> {
        let answer = self.run(commands)?;
        ensure!(answer.all().contains(status), "{status} was expected: {answer}");
        Ok(())
    }
}

/// A connection that stays open: an `smbclient` that takes one command after the other.
#[derive(Debug)]
pub struct Session {
    process: std::process::Child,
    output: std::io::BufReader<std::io::PipeReader>,
    _client: Client,
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// When smbclient cannot be started.
    pub fn open(client: Client) -> Result<Self> {
        let auth = client.auth.as_ref().context("a session needs a user")?;
        // what it got goes to stderr, what was refused to stdout
        let (output, both) = std::io::pipe().context("making a pipe")?;
        let process = std::process::Command::new("smbclient")
            .arg(format!("//{}/{}", client.address, client.share))
            .arg("-A")
            .arg(auth)
            .stdin(std::process::Stdio::piped())
            .stdout(both.try_clone().context("making a pipe")?)
            .stderr(both)
            .spawn()
            .context("starting smbclient")?;
        Ok(Self { process, output: std::io::BufReader::new(output), _client: client })
    }

    /// Opens, reads and closes a file of this size; how long that took.
    ///
    /// # Errors
    /// When the server refuses, or the connection is lost.
    pub fn read(&mut self, file: &str, size: u64) -> Result<Duration> {
        let start = std::time::Instant::now();
        let input = self.process.stdin.as_mut().context("no input")?;
        writeln!(input, "get \"{file}\" /dev/null")?;
        input.flush()?;
        let mut line = String::new();
        loop {
            line.clear();
            ensure!(self.output.read_line(&mut line)? > 0, "smbclient has ended");
            ensure!(!line.contains("NT_STATUS"), "reading {file}: {line}");
            if line.contains("getting file") {
                ensure!(line.contains(&format!("of size {size} ")), "another size: {line}");
                return Ok(start.elapsed());
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(auth) = &self.auth {
            let _ = fs::remove_file(auth);
        }
    }
}

/// Size and free space in MiB, of what `du` of smbclient says: `N blocks of size M. K blocks available`.
///
/// # Errors
/// When it says something else.
pub fn size(said: &Answer) -> Result<(u64, u64)> {
    let said = said.all();
    let line = said.lines().find(|line| line.contains("blocks of size")).context("no sizes")?;
    let numbers: Vec<u64> =
        line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    let [blocks, size, free] = numbers.as_slice() else { bail!("no three numbers in {line}") };
    Ok(((blocks * size) >> 20, (free * size) >> 20))
}

/// Lists the shares of a server: one line each, as `Disk|team|comment`.
///
/// # Errors
/// When smbclient cannot be run at all.
pub fn list(client: &Client) -> Result<Answer> {
    let mut command = Command::new("smbclient").args(["-g", "-L"]).arg(format!("//{}", client.address));
    if let Some(auth) = &client.auth {
        command = command.arg("-A").arg(auth.display().to_string());
    }
    Answer::of(&command.deadline(Duration::from_secs(60)))
}
