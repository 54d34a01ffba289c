//! Bodies that come in parts: a host whose command channel carries little at a time (the QEMU guest agent: some
//! megabytes, less on old versions) stashes them under a ticket, and `call --stash` sends and removes them.
//!
//! They may hold passwords: they lie in memory (`/run`), for root only, and those that nobody called for go after an
//! hour.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, OFlags, flock};
use smbgw_api::v1::MAX_BODY;

use crate::paths::Paths;

/// Age in seconds from which a body is nobody's any more.
const STALE: i64 = 3600;

/// Name of a body: 1 to 40 of a-z and 0-9.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ticket(String);

impl std::str::FromStr for Ticket {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if (1..=40).contains(&text.len()) && text.chars().all(good) {
            Ok(Self(text.to_owned()))
        } else {
            Err("must have 1 to 40 characters of a-z and 0-9")
        }
    }
}

/// Appends all of `part`; gives the length so far. A body that becomes too long is dropped.
pub(crate) fn append(paths: &Paths, ticket: &Ticket, part: &mut dyn Read, now: i64) -> Result<u64> {
    let directory = paths.stash();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory)
        .with_context(|| format!("making {}", directory.display()))?;
    sweep(&directory, now);
    let path = directory.join(&ticket.0);
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))?;
    // parts that come at the same time must not mingle
    flock(&file, FlockOperation::LockExclusive).context("locking the stash")?;
    let room = (MAX_BODY as u64).saturating_sub(file.metadata()?.len());
    let copied = io::copy(&mut part.take(room + 1), &mut file).context("writing to the stash")?;
    if copied > room {
        drop_body(paths, ticket)?;
        bail!("the body has more than {MAX_BODY} bytes; it was dropped");
    }
    file.flush()?;
    Ok(file.metadata()?.len())
}

/// Takes a body out: it is gone, whatever comes of it.
pub(crate) fn take(paths: &Paths, ticket: &Ticket) -> Result<Vec<u8>> {
    let path = paths.stash().join(&ticket.0);
    let file = File::open(&path).with_context(|| format!("nothing is stashed under ticket {}", ticket.0));
    fs::remove_file(&path).or_else(absent).with_context(|| format!("removing {}", path.display()))?;
    let mut body = Vec::new();
    file?.take(MAX_BODY as u64).read_to_end(&mut body).context("reading the stash")?;
    Ok(body)
}

/// Removes a body; that there is none is fine, too.
pub(crate) fn drop_body(paths: &Paths, ticket: &Ticket) -> Result<()> {
    let path = paths.stash().join(&ticket.0);
    fs::remove_file(&path).or_else(absent).with_context(|| format!("removing {}", path.display()))
}

fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Removes what nobody has called for. What fails is tried again by the next one.
fn sweep(directory: &Path, now: i64) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.metadata().is_ok_and(|meta| meta.is_file() && meta.mtime() < now - STALE) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn ticket(text: &str) -> Ticket {
        text.parse().unwrap()
    }

    fn now() -> i64 {
        rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec
    }

    #[test]
    fn parts_become_a_body_once() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::below(root.path());
        assert_eq!(append(&paths, &ticket("a1"), &mut b"one ".as_slice(), now()).unwrap(), 4);
        assert_eq!(append(&paths, &ticket("a1"), &mut b"two".as_slice(), now()).unwrap(), 7);
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(paths.stash()), mode(paths.stash().join("a1"))), (0o700, 0o600));
        assert_eq!(take(&paths, &ticket("a1")).unwrap(), b"one two");
        assert!(take(&paths, &ticket("a1")).unwrap_err().to_string().contains("nothing is stashed"));
        drop_body(&paths, &ticket("a1")).unwrap();
    }

    #[test]
    fn too_long_is_dropped() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::below(root.path());
        let most = vec![b' '; MAX_BODY];
        append(&paths, &ticket("a"), &mut most.as_slice(), now()).unwrap();
        assert!(append(&paths, &ticket("a"), &mut b"x".as_slice(), now()).is_err());
        assert_eq!(fs::read_dir(paths.stash()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_stale_goes_with_the_next() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::below(root.path());
        append(&paths, &ticket("old"), &mut b"x".as_slice(), now()).unwrap();
        append(&paths, &ticket("new"), &mut b"x".as_slice(), now() + STALE - 60).unwrap();
        assert_eq!(fs::read_dir(paths.stash()).unwrap().count(), 2);
        append(&paths, &ticket("new"), &mut b"x".as_slice(), now() + STALE + 60).unwrap();
        assert!(!paths.stash().join("old").exists());
    }

    #[test]
    fn tickets() {
        for bad in ["", "../x", "A", "a b", "a/b", ".a", &"a".repeat(41)] {
            assert!(bad.parse::<Ticket>().is_err(), "{bad}");
        }
    }
}
