//! Programs in the place of others while the packages' scripts run, so that dpkg need not wait: what nothing else depends on
//! is done by other processors meanwhile, and what would be done twice is done once. The tree is the same as without them,
//! which the lab's test of both engines compares.
//!
//! They are found by `PATH`, in `/run`, which is not of the tree.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode};
use smbgw_command::{Command, Runner, System};

use super::database::{ADMIN, Unpacked};
use super::replaced::Replaced;
use super::scripts;
use super::served::Served;
use crate::error::Error;

/// Where they are; the scripts in `stand_ins/` name it, too.
pub(super) const DIRECTORY: &str = "/run/smbgw";
/// What dpkg looks for programs in first.
pub(super) const PROGRAMS: &str = "/run/smbgw/bin";
/// The commands that were asked for.
const ORDERS: &str = "/run/smbgw/orders";
const STAND_INS: &[(&str, &str)] = &[
    ("later", include_str!("stand_ins/later.sh")),
    ("py3compile", include_str!("stand_ins/py3compile.sh")),
    ("compiling.py", include_str!("stand_ins/compiling.py")),
    ("depmod", include_str!("stand_ins/depmod.sh")),
    ("update-initramfs", include_str!("stand_ins/update-initramfs.sh")),
    ("update-ca-certificates", include_str!("stand_ins/update-ca-certificates.sh")),
];
/// What is asked for in one lane is done in this order; the lanes know nothing of each other.
const LANES: &[&str] = &["python", "kernel", "certificates"];
/// Done once for each kernel, when all else is.
const RAM_DISKS: &str = "/usr/sbin/update-initramfs";
/// Done for all packages in one process, when all of them are configured: it starts Python twice each time.
const COMPILES: &str = "/usr/bin/py3compile";
const PYTHON: &str = "/usr/bin/python3";
/// That process.
const COMPILING: &str = "/run/smbgw/bin/compiling.py";
/// What is said to a lane that gets no more.
const END: &str = "end";
/// A kernel's ram disk on a slow machine takes a minute.
const DEADLINE: Duration = Duration::from_secs(1500);

/// Does something while the stand-ins are there, and waits for all that was left to them.
///
/// # Errors
/// What `work` gives; else [`Error::Tree`] with what one of the programs said.
pub(super) fn while_they_stand(
    epoch: &str,
    system: &System,
    work: impl FnOnce(&StandIns) -> Result<(), Error>,
) -> Result<(), Error> {
    for directory in [PROGRAMS, ORDERS] {
        fs::create_dir_all(directory).map_err(Error::io("making", Path::new(directory)))?;
    }
    for (name, text) in STAND_INS {
        program(name, text)?;
    }
    // held by us as well, so that nobody waits for somebody who reads
    let queues = LANES.iter().map(|lane| fifo(lane)).collect::<Result<Vec<File>, Error>>()?;
    let (stand_ins, abandoned) =
        (StandIns { system, epoch, served: Mutex::default() }, AtomicBool::new(false));
    let outcome: Result<(), Error> = std::thread::scope(|scope| {
        let lanes: Vec<_> =
            queues.iter().map(|queue| scope.spawn(|| lane(queue, epoch, system, &abandoned))).collect();
        let outcome = work(&stand_ins);
        abandoned.store(outcome.is_err(), Ordering::Relaxed);
        for mut queue in &queues {
            writeln!(queue, "{END}").map_err(Error::io("telling", Path::new(DIRECTORY)))?;
        }
        let done = lanes
            .into_iter()
            .map(|lane| lane.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            // all of them, whatever the first one says
            .collect::<Vec<_>>();
        outcome.and_then(|()| done.into_iter().collect())
    });
    let back = stand_ins.served.into_inner().unwrap_or_else(PoisonError::into_inner).end();
    fs::remove_dir_all(DIRECTORY).map_err(Error::io("removing", Path::new(DIRECTORY)))?;
    outcome.and(back)
}

/// The stand-ins, while they are there.
pub(super) struct StandIns<'a> {
    system: &'a System,
    epoch: &'a str,
    served: Mutex<Served>,
}

impl StandIns<'_> {
    /// Takes programs into memory that are there by now.
    ///
    /// # Errors
    /// As [`Served::start_all`].
    pub(super) fn load(&self) -> Result<(), Error> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).start_all(self.epoch, self.system)
    }

    /// From now on these are asked.
    ///
    /// # Errors
    /// As [`Served::ask_all`].
    pub(super) fn serve(&self) -> Result<(), Error> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).ask_all()
    }
}

/// Puts a program where dpkg finds it first.
pub(super) fn program(name: &str, text: &str) -> Result<(), Error> {
    let path = format!("{PROGRAMS}/{name}");
    fs::write(&path, text)
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
        .map_err(Error::io("writing", Path::new(&path)))
}

/// Makes one, and opens it for both.
pub(super) fn fifo(name: &str) -> Result<File, Error> {
    let path = format!("{DIRECTORY}/{name}");
    let make = || {
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
        // for both: neither side waits for the other. Source: fifo(7)
        File::options().read(true).write(true).open(&path)
    };
    make().map_err(Error::io("making", Path::new(&path)))
}

/// Does what is asked for until the end is told. After a failure nothing more is done, but still listened to: those who ask
/// must not wait for ever.
fn lane(queue: &File, epoch: &str, system: &System, abandoned: &AtomicBool) -> Result<(), Error> {
    let (mut outcome, mut at_the_end) = (Ok(()), AtTheEnd::default());
    for line in BufReader::new(queue).lines() {
        let line = line.map_err(Error::io("reading", Path::new(DIRECTORY)))?;
        if line == END {
            break;
        }
        if outcome.is_err() || abandoned.load(Ordering::Relaxed) {
            continue;
        }
        outcome = Order::read(&line).and_then(|order| match at_the_end.add(order) {
            Some(other) => other.run(epoch, system),
            None => Ok(()),
        });
    }
    outcome?;
    let wanted = |_: &Order| !abandoned.load(Ordering::Relaxed);
    at_the_end.orders().into_iter().take_while(wanted).try_for_each(|order| order.run(epoch, system))
}

/// What is done when all that was asked for is known.
#[derive(Default)]
struct AtTheEnd {
    /// Each once.
    ram_disks: Vec<Order>,
    /// In the order in which they were asked for.
    compiles: Vec<Order>,
}

impl AtTheEnd {
    /// Gives back what is to be done at once.
    fn add(&mut self, order: Order) -> Option<Order> {
        match order.words.first().map(String::as_str) {
            // one that is made is new: to bring it up to date is for those of which none is made
            Some(RAM_DISKS) if order.creates() => {
                self.ram_disks.retain(|other| other.creates() && *other != order);
                self.ram_disks.push(order);
            }
            Some(RAM_DISKS) if self.ram_disks.is_empty() => self.ram_disks.push(order),
            Some(RAM_DISKS) => {}
            Some(COMPILES) => self.compiles.push(order),
            _ => return Some(order),
        }
        None
    }

    fn orders(self) -> Vec<Order> {
        let compiles = self.compiles.into_iter().map(|order| order.name);
        let words: Vec<String> = [PYTHON, COMPILING].map(str::to_owned).into_iter().chain(compiles).collect();
        let all = (words.len() > 2).then(|| Order {
            name: COMPILES.to_owned(),
            directory: ORDERS.to_owned(),
            words,
        });
        self.ram_disks.into_iter().chain(all).collect()
    }
}

/// A command that a script asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Order {
    /// Of its file.
    name: String,
    directory: String,
    words: Vec<String>,
}

impl Order {
    fn read(name: &str) -> Result<Self, Error> {
        let path = format!("{ORDERS}/{name}");
        let text = fs::read_to_string(&path).map_err(Error::io("reading", Path::new(&path)))?;
        let mut words = text.split_terminator('\0').map(str::to_owned);
        let directory = words.next().unwrap_or_default();
        Ok(Self { name: name.to_owned(), directory, words: words.collect() })
    }

    /// Whether it makes something that need not be there.
    fn creates(&self) -> bool {
        self.words.iter().any(|word| word == "-c")
    }

    fn run(&self, epoch: &str, system: &System) -> Result<(), Error> {
        let Some((program, args)) = self.words.split_first() else { return Ok(()) };
        let command = Command::new(program).args(args).directory(&self.directory).deadline(DEADLINE);
        let done = system.run(&scripts::environment(command, epoch)).map(drop);
        done.map_err(Error::program("doing what a package's script asked for"))
    }
}

/// Scripts of these packages that compile Python by themselves leave it to the lane, until they are put back.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn compile_later(packages: &[Unpacked]) -> Result<Vec<Replaced>, Error> {
    let other = |package: &Unpacked| {
        let text = compiling_later(&package.script("postinst")?.content)?;
        Some(Replaced::with(&format!("{ADMIN}/info/{}.postinst", package.info_name), text.as_bytes()))
    };
    packages.iter().filter_map(other).collect()
}

/// The script with its calls of Python's compiler put off; nothing when it has none. Source: postinst of python3.11-minimal,
/// python3.13 and their like.
fn compiling_later(script: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(script).ok()?;
    let compiles = |line: &str| {
        line.starts_with("/usr/bin/python3.")
            && line.contains(" -E -S /usr/lib/python3.")
            && line.ends_with("/py_compile.py $files")
    };
    let mut changed = false;
    let mut lines = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let command = line.trim();
        if compiles(command) {
            changed = true;
            lines.push_str(PROGRAMS);
            lines.push_str("/later python ");
        }
        lines.push_str(if compiles(command) { line.trim_start() } else { line });
    }
    changed.then_some(lines)
}

#[cfg(test)]
mod tests {
    use super::{AtTheEnd, COMPILING, Order, PYTHON, RAM_DISKS, compiling_later};

    #[test]
    fn a_ram_disk_is_made_once_for_each_kernel() {
        let left = |ends: &[&str]| {
            let mut all = AtTheEnd::default();
            for end in ends {
                assert_eq!(all.add(order("1", &format!("{RAM_DISKS} {end}"))), None);
            }
            all.orders().iter().map(|order| order.words[1..].join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(left(&["-u", "-u"]), ["-u"]);
        assert_eq!(left(&["-u", "-c -k 1", "-c -k 2", "-c -k 1", "-u"]), ["-c -k 2", "-c -k 1"]);
    }

    #[test]
    fn python_of_packages_is_compiled_in_one_process() {
        let mut all = AtTheEnd::default();
        let at_once = order("2", "/usr/bin/python3.13 -E");
        assert_eq!(all.add(order("1", "/usr/bin/py3compile -p one")), None);
        assert_eq!(all.add(at_once.clone()), Some(at_once));
        assert_eq!(all.add(order("3", "/usr/bin/py3compile -p two")), None);
        let orders = all.orders();
        assert_eq!(orders.len(), 1);
        assert_eq!(orders[0].words, [PYTHON, COMPILING, "1", "3"]);
    }

    fn order(name: &str, line: &str) -> Order {
        Order {
            name: name.to_owned(),
            directory: "/".to_owned(),
            words: line.split(' ').map(str::to_owned).collect(),
        }
    }

    #[test]
    fn only_the_calls_of_the_compiler_are_put_off() {
        let script = "#!/bin/sh\nif x; then\n\t/usr/bin/python3.13 -E -S /usr/lib/python3.13/py_compile.py $files\n\
            \tif y; then /usr/bin/python3.13 -E -S -O /usr/lib/python3.13/py_compile.py $files; fi\nfi\n";
        let later = "#!/bin/sh\nif x; then\n/run/smbgw/bin/later python /usr/bin/python3.13 -E -S \
            /usr/lib/python3.13/py_compile.py $files\n\
            \tif y; then /usr/bin/python3.13 -E -S -O /usr/lib/python3.13/py_compile.py $files; fi\nfi\n";
        assert_eq!(compiling_later(script.as_bytes()).as_deref(), Some(later));
        assert_eq!(compiling_later(b"#!/bin/sh\npython3 -c 'print(1)'\n"), None);
        assert_eq!(compiling_later(b"\xff\xfe"), None);
    }
}
