//! The file of events, `/run/smbgw-sizes/traffic`: many append, the agent takes.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};

use serde::{Deserialize, Serialize};

use super::event::Event;
use crate::error::{Doing, Result};
use crate::paths::Paths;

/// Larger it does not become: nobody takes it then.
const MAX: u64 = 1 << 20;

/// How far the file was read that was taken last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Taken {
    inode: u64,
    read: u64,
}

/// Adds an event, in one piece. Fails silently: nobody could do anything about it.
pub(super) fn append(paths: &Paths, event: &Event) {
    let open = || OpenOptions::new().append(true).create(true).mode(0o600).open(paths.traffic());
    let file = match open() {
        Err(error) if error.kind() == ErrorKind::NotFound => make(paths).and_then(|()| open()),
        other => other,
    };
    let Ok(mut file) = file else { return };
    if file.metadata().is_ok_and(|meta| meta.len() < MAX) {
        let _ = file.write_all(event.render().as_bytes());
    }
}

/// Makes its directory, in which users read the sizes of shares.
pub(super) fn make(paths: &Paths) -> std::io::Result<()> {
    let directory = paths.sizes();
    std::fs::create_dir_all(&directory)?;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755))
}

/// Size of what waits.
pub(super) fn waiting(paths: &Paths) -> u64 {
    std::fs::metadata(paths.traffic()).map_or(0, |meta| meta.len())
}

/// Takes all events since the last time. Who had the file open when it was taken may have added a line later, so it is looked
/// at once more before the next one is taken.
pub(super) fn take(paths: &Paths, taken: &mut Taken) -> Result<Vec<Event>> {
    let (current, old) = (paths.traffic(), paths.traffic_taken());
    let mut events = Vec::new();
    rest(&old, taken, &mut events).doing(|| format!("reading {}", old.display()))?;
    match std::fs::rename(&current, &old) {
        Ok(()) => rest(&old, taken, &mut events).doing(|| format!("reading {}", old.display()))?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).doing(|| format!("taking {}", current.display())),
    }
    Ok(events)
}

fn rest(path: &std::path::Path, taken: &mut Taken, events: &mut Vec<Event>) -> std::io::Result<()> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let inode = file.metadata()?.ino();
    if taken.inode != inode {
        *taken = Taken { inode, read: 0 };
    }
    file.seek(SeekFrom::Start(taken.read))?;
    let mut bytes = Vec::new();
    file.take(MAX * 2).read_to_end(&mut bytes)?;
    // a line without an end is still being written
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    taken.read += whole as u64;
    let text = String::from_utf8_lossy(&bytes[..whole]);
    events.extend(text.lines().filter_map(Event::parse));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::event::{Process, What};
    use super::*;

    #[test]
    fn nothing_is_lost_or_taken_twice() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::below(root.path());
        let event =
            |pid| Event { what: What::End, process: Process { pid, start: 1 }, at: 2, counters: None };
        let mut taken = Taken::default();
        assert_eq!(take(&paths, &mut taken).unwrap(), []);
        append(&paths, &event(1));
        let mut late = OpenOptions::new().append(true).open(paths.traffic()).unwrap();
        late.write_all(b"foreign words\nend - 7").unwrap();
        assert_eq!(take(&paths, &mut taken).unwrap(), [event(1)]);
        append(&paths, &event(2));
        late.write_all(b" 1 2 -\n").unwrap();
        assert_eq!(take(&paths, &mut taken).unwrap(), [event(7), event(2)]);
        assert_eq!(take(&paths, &mut taken).unwrap(), []);
        // an agent that died after it took the file reads it again
        append(&paths, &event(3));
        let before = taken;
        assert_eq!(take(&paths, &mut taken).unwrap(), [event(3)]);
        taken = before;
        append(&paths, &event(4));
        assert_eq!(take(&paths, &mut taken).unwrap(), [event(3), event(4)]);
        assert_eq!(std::fs::metadata(paths.sizes()).unwrap().mode() & 0o777, 0o755);
        assert_eq!(std::fs::metadata(paths.traffic_taken()).unwrap().mode() & 0o777, 0o600);
        std::fs::write(paths.traffic(), vec![b'x'; MAX as usize]).unwrap();
        append(&paths, &event(5));
        assert_eq!(waiting(&paths), MAX);
    }
}
