//! The programs under test. Each is run with a deadline, by its absolute path.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use smbgw_command::{Command, CommandError, Runner, System};

/// Names the directory of the built programs.
pub const PROGRAMS_VARIABLE: &str = "SMBGW_PROGRAMS";
/// Names the directory of the built templates.
pub const TEMPLATES_VARIABLE: &str = "SMBGW_TEMPLATES";
/// Is set when the templates are compressed as they are published.
pub const RELEASE_VARIABLE: &str = "SMBGW_RELEASE";
/// Names the root of the checkout.
pub const SOURCE_VARIABLE: &str = "SMBGW_SOURCE";

/// For one run of the host command: an emulated machine that boots on a busy node takes minutes.
const DEADLINE: Duration = Duration::from_secs(900);

/// Every exit code is an answer here.
const ANY: [i32; 256] = {
    let mut codes = [0; 256];
    let mut code = 0;
    while code < 256 {
        codes[code] = code as i32;
        code += 1;
    }
    codes
};

/// Where the programs and templates are.
#[derive(Debug, Clone)]
pub struct Product {
    /// Built programs.
    pub programs: PathBuf,
    /// Built templates.
    pub templates: PathBuf,
    /// The checkout.
    pub source: PathBuf,
}

impl Product {
    /// As the environment names them.
    ///
    /// # Errors
    /// When it does not.
    pub fn from_environment() -> Result<Self> {
        let path = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .with_context(|| format!("{name} is not set: run `cargo xtask test --lab`"))
        };
        Ok(Self {
            programs: path(PROGRAMS_VARIABLE)?,
            templates: path(TEMPLATES_VARIABLE)?,
            source: path(SOURCE_VARIABLE)?,
        })
    }

    /// What a build must be told so that it compresses as the templates here are compressed.
    #[must_use]
    pub fn level(&self) -> Option<&'static str> {
        std::env::var_os(RELEASE_VARIABLE).map(|_| "--release")
    }

    /// A program's path.
    pub fn program(&self, name: &str) -> String {
        self.programs.join(name).display().to_string()
    }

    /// `pve-smbgateway`, as it is shipped.
    pub fn host(&self) -> Command {
        Command::new(self.program("pve-smbgateway")).deadline(DEADLINE)
    }

    /// `pve-smbgateway` that heeds `SMBGW_FAULT`.
    pub fn host_with_faults(&self) -> Command {
        Command::new(self.program("faults/pve-smbgateway")).deadline(DEADLINE)
    }

    /// `smbgw-builder`.
    pub fn builder(&self) -> Command {
        Command::new(self.program("smbgw-builder")).deadline(Duration::from_secs(600))
    }

    /// The built template of this name, as `debian-13`.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn template(&self, name: &str) -> Result<PathBuf> {
        template_in(&self.templates.join(name), name)
    }

    /// The built virtual machine image of this name, as `debian-13`.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn image(&self, name: &str) -> Result<PathBuf> {
        image_in(&self.templates.join(format!("{name}{IMAGE}")), name)
    }
}

/// The only `.tar.zst` of this template in a directory.
///
/// # Errors
/// When there is none, or more than one.
pub fn template_in(directory: &Path, name: &str) -> Result<PathBuf> {
    only(directory, name, ".tar.zst")
}

/// What a directory of images is called beyond the template.
pub const IMAGE: &str = "-vm";

/// The only `.qcow2` of this template in a directory.
///
/// # Errors
/// When there is none, or more than one.
pub fn image_in(directory: &Path, name: &str) -> Result<PathBuf> {
    only(directory, name, ".qcow2")
}

fn only(directory: &Path, name: &str, suffix: &str) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)
        .with_context(|| format!("looking for templates in {}", directory.display()))?
    {
        let path = entry?.path();
        let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        if file.contains(name) && file.ends_with(suffix) {
            found.push(path);
        }
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => bail!("no {suffix} of {name} in {}", directory.display()),
        count => bail!("{count} {suffix} of {name} in {}", directory.display()),
    }
}

/// Directory of the containers; the `-P` of the lxc commands.
pub const GUESTS: &str = "/var/lib/pve-smbgateway/guests";

/// Name of a gateway's container.
pub fn container(gateway: &str) -> String {
    format!("smbgw-{gateway}")
}

/// The start of a command in a gateway's container.
pub fn attach(gateway: &str) -> Command {
    let name = container(gateway);
    Command::new("lxc-attach").args(["-P", GUESTS, "-n", &name, "--clear-env", "--"])
}

/// Directory of a gateway's container, as the node's kernel names it in its cgroup.
pub fn cgroup(gateway: &str) -> PathBuf {
    Path::new("/sys/fs/cgroup").join(format!("lxc.payload.{}", container(gateway)))
}

/// What a program answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The program and its arguments.
    pub command: String,
    /// Exit code; negative when a signal ended it, as -9.
    pub code: i32,
    /// All of stdout.
    pub stdout: String,
    /// The end of stderr.
    pub stderr: String,
}

impl Answer {
    /// Runs a command to its end; every exit code is an answer.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time.
    pub fn of(command: &Command) -> Result<Self> {
        let command = command.clone().accept(&ANY);
        let display = command.display();
        match System::new().run(&command) {
            Ok(output) => {
                let (code, stderr) = (output.code, output.stderr.clone());
                Ok(Self { command: display, code, stdout: output.text(&command)?, stderr })
            }
            Err(CommandError::Failed { code: None, status, stderr, stdout, .. }) => {
                let signal: i32 = status.rsplit(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0);
                Ok(Self { command: display, code: -signal, stdout, stderr })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// This answer, if the exit code is 0.
    ///
    /// # Errors
    /// When it is not: with all that was said.
    pub fn ok(self) -> Result<Self> {
        ensure!(self.code == 0, "{self}");
        Ok(self)
    }

    /// This answer, if the exit code is this one.
    ///
    /// # Errors
    /// When it is not: with all that was said.
    pub fn exits(self, code: i32) -> Result<Self> {
        ensure!(self.code == code, "exit code {code} was expected: {self}");
        Ok(self)
    }

    /// This answer, if it is the error of this code, with a hint.
    ///
    /// # Errors
    /// When it is not: with all that was said.
    pub fn fails(self, code: &str) -> Result<Self> {
        let error = &self.json()?["error"];
        ensure!(self.code != 0 && error["code"] == code, "{code} was expected: {self}");
        ensure!(error["hint"].is_string(), "no hint: {self}");
        Ok(self)
    }

    /// stdout as JSON.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("not JSON: {self}"))
    }

    /// `data` of the JSON envelope.
    ///
    /// # Errors
    /// When stdout is not a successful envelope.
    pub fn data(&self) -> Result<Value> {
        let mut json = self.json()?;
        ensure!(json["success"] == true, "not a success: {self}");
        Ok(json["data"].take())
    }

    /// stdout and stderr.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "`{}` ended with {}\n  stdout: {}\n  stderr: {}",
            self.command,
            self.code,
            self.stdout.trim(),
            self.stderr
        )
    }
}
