//! The program that Samba runs at each tree connect and disconnect (smb.conf(5), `root preexec`, `root postexec`). It tells the
//! agent which process has which share open. smbd waits for it, so it does little, and whatever is wrong it says nothing.
//!
//! smbd writes down at its end what it did last, and its parent clears that up at once. So after a disconnect, which often is
//! the last act of a process, another process of this program waits for a moment and reads it in between.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, getppid, pidfd_open};
use smbgw_api::v1::Traffic;
use smbgw_command::{Command, System};

use super::event::{Event, Process, What, from_hex};
use super::profile::{self, Layout};
use super::spool;
use crate::paths::Paths;
use crate::system;

/// Name by which this program answers to Samba.
pub(crate) const NAME: &str = "tally";
/// How long after a disconnect a process has written down all it did before: smbd does so once a second, unless it is held up.
pub(super) const SETTLES: Duration = Duration::from_secs(3);
/// Looks in haste, and the pauses after them and after the rest.
const HASTE: u32 = 200;
const SHORT: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000 };
const LONG: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
/// How long smbd may be kept waiting until somebody watches its end.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 300_000_000 };

/// Whether the program was called by Samba.
pub(crate) fn is_tally(program: &str) -> bool {
    Path::new(program).file_name().is_some_and(|name| name == NAME)
}

/// Does what the arguments say: `open HEX`, `close HEX` (of our parent), `watch PID START SINCE`.
pub(crate) fn tally(args: impl Iterator<Item = String>) {
    let paths = Paths::system();
    let args: Vec<String> = args.take(5).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, "open", share] => drop(note(&paths, What::Open, share)),
        [program, "close", share] => {
            if let Some(event) = note(&paths, What::Close, share) {
                watch(program, &event);
            }
        }
        [_, "watch", pid, start, since] => {
            if let (Ok(pid), Ok(start), Ok(since)) = (pid.parse(), start.parse(), since.parse()) {
                await_last(&paths, Process { pid, start }, since);
            }
        }
        _ => {}
    }
}

/// Tells of our parent.
fn note(paths: &Paths, what: fn(String) -> What, share: &str) -> Option<Event> {
    // the shell between us has become us
    let pid = u32::try_from(getppid()?.as_raw_nonzero().get()).ok()?;
    let process = Process { pid, start: system::start_of(paths, pid)? };
    let counters = layout(paths).and_then(|layout| {
        match profile::of(&File::open(paths.profile()).ok()?, pid)? {
            Some(value) => layout.traffic(&value),
            // it has done nothing yet that it would have written down
            None => Some(Traffic::default()),
        }
    });
    let event = Event { what: what(from_hex(share)?), process, at: system::since_boot_ms(), counters };
    spool::append(paths, &event);
    Some(event)
}

fn layout(paths: &Paths) -> Option<Layout> {
    Layout::parse(&std::fs::read_to_string(paths.counters()).ok()?)
}

/// Has another process wait for what this one writes down last, and waits until it does.
fn watch(program: &str, event: &Event) {
    let Ok((mut watches, say)) = std::io::pipe() else { return };
    let say = File::from(OwnedFd::from(say));
    let Process { pid, start } = event.process;
    let numbers = [u64::from(pid), start, event.at].map(|number| number.to_string());
    let command = Command::new(program).arg("watch").args(numbers);
    if System::new().launch(&command, &say).is_err() {
        return;
    }
    drop(say);
    let mut one = [0; 1];
    if matches!(poll(&mut [PollFd::new(&watches, PollFlags::IN)], Some(&PATIENCE)), Ok(1..)) {
        let _ = watches.read(&mut one);
    }
}

/// Waits until a process has written down what it did before it closed a share at `since`, and tells it.
///
/// smbd waits until we have begun. So what we see first is from before, and the first change has all. A process that ends
/// writes and is cleared up within a millisecond or few, hence the haste at first.
fn await_last(paths: &Paths, process: Process, since: u64) {
    let (Ok(file), Some(layout)) = (File::open(paths.profile()), layout(paths)) else { return };
    let look = || profile::of(&file, process.pid);
    let Some(before) = look() else { return };
    let held = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    let Some(held) = held.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else { return };
    // systemd ends what is in smbd's unit all at once, and then this is needed most
    let _ = nix::sys::signal::SigSet::from(nix::sys::signal::Signal::SIGTERM).thread_block();
    let _ = std::io::stdout().write_all(b"w").and_then(|()| std::io::stdout().flush());
    let settled = system::since_boot_ms() + SETTLES.as_millis() as u64 + 200;
    let tell = |what: What, counters: Option<Traffic>| {
        spool::append(paths, &Event { what, process, at: since, counters });
    };
    for turn in 0_u32.. {
        let now = look();
        match &now {
            Some(Some(value)) if now != Some(before.clone()) => {
                return tell(What::Rest, layout.traffic(value));
            }
            _ => {}
        }
        let pause = if turn < HASTE { SHORT } else { LONG };
        let ended = !matches!(poll(&mut [PollFd::new(&held, PollFlags::IN)], Some(&pause)), Ok(0));
        if ended {
            // else somebody was faster
            let last = look().flatten().or_else(|| profile::remains(&file, &layout, process.pid));
            return match last.filter(|last| Some(last) != before.as_ref()) {
                Some(value) => tell(What::Rest, layout.traffic(&value)),
                None => tell(What::End, None),
            };
        }
        if system::since_boot_ms() >= settled {
            // nothing was left to be written down
            let counters = now.flatten().map_or(Some(Traffic::default()), |value| layout.traffic(&value));
            return tell(What::Rest, counters);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_answers_to_one_name_only() {
        assert!(is_tally("/usr/lib/smbgw/tally") && is_tally("tally"));
        assert!(!is_tally("smbgw-agent") && !is_tally("/usr/lib/smbgw/dfree") && !is_tally(""));
    }
}
