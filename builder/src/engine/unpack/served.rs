//! Programs in Perl that scripts start again and again: started once, they are asked by [`super::stand_ins`].

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;
use smbgw_command::{Command, Interrupt, Service, System, wait_until};

use super::inside;
use super::replaced::Replaced;
use super::scripts;
use super::stand_ins::{DIRECTORY, fifo, program};
use crate::error::Error;

/// Far more than Perl takes to start.
const READY: Duration = Duration::from_secs(60);
const SERVER: &str = include_str!("stand_ins/served.pl");
const CLIENT: &str = include_str!("stand_ins/served.sh");
const PERL: &str = "/usr/bin/perl";

/// A program.
struct Program {
    name: &'static str,
    path: &'static str,
    /// What it loads.
    modules: &'static [&'static str],
    /// Scripts name its path, so that what stands in for it must be there.
    in_its_place: bool,
}

const PROGRAMS_SERVED: &[Program] = &[
    Program {
        name: "deb-systemd-helper",
        path: "/usr/bin/deb-systemd-helper",
        modules: &["File::Path", "File::Basename", "File::Temp", "Getopt::Long", "Data::Dumper"],
        in_its_place: false,
    },
    // what scripts that use debconf go through. Source: /usr/share/debconf/confmodule
    Program {
        name: "frontend",
        path: "/usr/share/debconf/frontend",
        modules: &[
            "Debconf::Db",
            "Debconf::Template",
            "Debconf::AutoSelect",
            "Debconf::Log",
            "Debconf::ConfModule",
            "Debconf::DbDriver::Cache",
            "Debconf::DbDriver::File",
            "Debconf::DbDriver::Stack",
            "Debconf::Format::822",
            "Debconf::FrontEnd::Noninteractive",
            "Debconf::Element::Noninteractive::Boolean",
            "Debconf::Element::Noninteractive::Multiselect",
            "Debconf::Element::Noninteractive::Note",
            "Debconf::Element::Noninteractive::Select",
            "Debconf::Element::Noninteractive::String",
        ],
        in_its_place: true,
    },
];

/// The programs that are served.
#[derive(Default)]
pub(super) struct Served {
    running: Vec<Running>,
    replaced: Vec<Replaced>,
}

/// One that has been started.
struct Running {
    program: &'static Program,
    service: Service,
    asked: bool,
}

impl Served {
    /// Starts serving those that are there, and not served yet.
    ///
    /// # Errors
    /// [`Error::Io`], or when Perl cannot be started.
    pub(super) fn start_all(&mut self, epoch: &str, system: &System) -> Result<(), Error> {
        for one in PROGRAMS_SERVED {
            let there = [PERL, one.path].iter().all(|path| Path::new(path).exists());
            if there && !self.running.iter().any(|running| running.program.name == one.name) {
                self.running.push(Running {
                    program: one,
                    service: start(one, epoch, system)?,
                    asked: false,
                });
            }
        }
        Ok(())
    }

    /// From now on they are asked; where one does not come up, scripts go on to start the program itself.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn ask_all(&mut self) -> Result<(), Error> {
        for running in self.running.iter_mut().filter(|running| !running.asked) {
            running.asked = true;
            if !running.comes_up() {
                continue;
            }
            let Program { name, path, in_its_place, .. } = *running.program;
            let client = CLIENT.replace("NAME", name);
            if in_its_place {
                self.replaced.push(Replaced::with(path, client.as_bytes())?);
            } else {
                program(name, &client)?;
            }
        }
        Ok(())
    }

    /// Ends them, and puts everything back.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn end(self) -> Result<(), Error> {
        for running in &self.running {
            running.service.terminate();
        }
        self.replaced.into_iter().try_for_each(Replaced::back)
    }
}

/// A file of a served program.
fn file(one: &Program, end: &str) -> String {
    format!("{DIRECTORY}/{}.{end}", one.name)
}

fn start(one: &Program, epoch: &str, system: &System) -> Result<Service, Error> {
    // their ends are opened by others, one after the other
    drop((fifo(&format!("{}.request", one.name))?, fifo(&format!("{}.reply", one.name))?));
    let (log, original) = (file(one, "log"), file(one, "pl"));
    fs::copy(one.path, &original).map_err(Error::io("copying", Path::new(one.path)))?;
    let log = File::create(&log).map_err(Error::io("making", Path::new(&log)))?;
    let command = Command::new(PERL).args(["-e", SERVER, one.name, &original]);
    let command = scripts::environment(command.args(one.modules.iter().copied()), epoch);
    system.launch(&command, &log).map_err(Error::program("starting Perl"))
}

impl Running {
    /// Waits until it answers: who asks one that is not there waits for ever.
    fn comes_up(&mut self) -> bool {
        let one = self.program;
        let up = || match self.service.ended() {
            Some(how) => Some(Err(how)),
            None => answers(&file(one, "request"), &file(one, "reply")).then_some(Ok(())),
        };
        let why_not = match wait_until("Perl to be ready", READY, &Interrupt::new(), up) {
            Ok(Ok(())) => return true,
            Ok(Err(how)) => how,
            Err(error) => error.to_string(),
        };
        inside::say(&format!("{} cannot be kept in memory ({why_not}): going on without", one.path));
        false
    }
}

/// Whether the server is there and answers. Source: fifo(7), for who opens one that has no reader.
fn answers(request: &str, reply: &str) -> bool {
    let ask = || {
        let at_once = OFlags::NONBLOCK.bits().cast_signed();
        let mut request = File::options().write(true).custom_flags(at_once).open(request)?;
        request.write_all(b"0\n")?;
        drop(request);
        fs::read_to_string(reply)
    };
    ask().is_ok_and(|answer: String| answer.trim() == "0")
}
