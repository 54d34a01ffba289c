//! The finished tree as a tar, from inside the root.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::mpsc::sync_channel;

use super::mounts;
use crate::error::Error;
use crate::tree::{Content, Entry, Kind, TarWriter, Tree};

/// Files that are read before they are written.
const AHEAD: usize = 64;
/// Bytes that are written at once, and what a pipe takes if it may be so large.
const PIECE: usize = 1 << 20;

/// Writes what [`write_root`] does into a pipe.
///
/// # Errors
/// As [`write_root`].
pub(super) fn to_pipe(pipe: File, mounted_on: &BTreeMap<String, Entry>) -> Result<(), Error> {
    // a smaller one only takes longer
    let _ = rustix::pipe::fcntl_setpipe_size(&pipe, PIECE);
    let mut out = write_root(BufWriter::with_capacity(PIECE, pipe), mounted_on)?;
    out.flush().map_err(writing())
}

/// Reads everything below `/` and writes it, while the next files are read already. Of places where something is mounted it
/// writes what `mounted_on` says.
///
/// # Errors
/// [`Error::Tree`] when something is there that no template may hold, [`Error::Io`].
pub(super) fn write_root<W: Write>(out: W, mounted_on: &BTreeMap<String, Entry>) -> Result<W, Error> {
    let tree = list_root(mounted_on)?;
    let mut tar = TarWriter::new(out);
    std::thread::scope(|scope| {
        let (sender, contents) = sync_channel(AHEAD);
        let files = tree.entries().filter(|(_, entry)| matches!(entry.kind, Kind::File(_)));
        scope.spawn(move || {
            for (path, _) in files {
                let content = fs::read(path).map_err(Error::io("reading", path));
                // nobody listens any more after an error
                if sender.send(content).is_err() {
                    return;
                }
            }
        });
        for (path, entry) in tree.entries() {
            let content = match entry.kind {
                Kind::File(_) => {
                    contents.recv().map_err(|_| Error::Tree(format!("{path} was not read")))??
                }
                _ => Vec::new(),
            };
            tar.entry(path, entry, &content).map_err(writing())?;
        }
        tar.finish().map_err(writing())
    })
}

fn writing() -> impl FnOnce(io::Error) -> Error {
    Error::io("writing", "the finished tree")
}

/// All that is there, files without their contents.
fn list_root(mounted_on: &BTreeMap<String, Entry>) -> Result<Tree, Error> {
    let mut names = HashMap::new();
    let mut found = vec![("/".to_owned(), entry(Path::new("/"), &mut names, "/")?)];
    list("/", &mut found, &mut names)?;
    let mut tree = Tree::default();
    found.into_iter().try_for_each(|(path, entry)| tree.put(&path, entry))?;
    for path in mounts::POINTS {
        tree.put(path, mounted_on.get(*path).cloned().unwrap_or_else(Entry::directory))?;
    }
    Ok(tree)
}

/// All that is below a directory, files without their contents.
fn list(
    directory: &str,
    all: &mut Vec<(String, Entry)>,
    names: &mut HashMap<(u64, u64), String>,
) -> Result<(), Error> {
    let mut found: Vec<_> = fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>())
        .map_err(Error::io("listing", directory))?;
    found.sort();
    for path in found {
        let text = path
            .to_str()
            .ok_or_else(|| Error::Tree(format!("the name `{}` is not UTF-8", path.display())))?;
        if mounts::POINTS.contains(&text) {
            continue;
        }
        let entry = entry(&path, names, text)?;
        let below = entry.is_directory();
        all.push((text.to_owned(), entry));
        if below {
            list(text, all, names)?;
        }
    }
    Ok(())
}

/// What is there; a file's content is read later.
fn entry(path: &Path, names: &mut HashMap<(u64, u64), String>, text: &str) -> Result<Entry, Error> {
    let io = || Error::io("reading", path);
    let found = fs::symlink_metadata(path).map_err(io())?;
    let kind = found.file_type();
    let kind = if kind.is_dir() {
        Kind::Directory
    } else if kind.is_symlink() {
        let target = fs::read_link(path).map_err(io())?;
        Kind::Symlink(
            target
                .to_str()
                .ok_or_else(|| Error::Tree(format!("{text} points at a name that is not UTF-8")))?
                .to_owned(),
        )
    } else if kind.is_file() {
        let id = (found.dev(), found.ino());
        match names.get(&id).filter(|_| found.nlink() > 1) {
            Some(first) => Kind::Hardlink(first.clone()),
            None => {
                if found.nlink() > 1 {
                    names.insert(id, text.to_owned());
                }
                Kind::File(Content::Own(Vec::new().into()))
            }
        }
    } else {
        let what = if kind.is_fifo() || kind.is_socket() { "a pipe or socket" } else { "a device" };
        return Err(Error::Tree(format!("{text} is {what}, which no template may hold")));
    };
    // directories have access control lists; a link has nothing of its own
    let xattrs = match kind {
        Kind::File(_) | Kind::Directory => xattrs(path).map_err(io())?,
        _ => BTreeMap::new(),
    };
    Ok(Entry {
        kind,
        mode: found.mode() & 0o7777,
        uid: found.uid(),
        gid: found.gid(),
        mtime: found.mtime(),
        xattrs,
    })
}

fn xattrs(path: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut list = vec![0u8; 4096];
    let size = match rustix::fs::llistxattr(path, &mut list[..]) {
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(BTreeMap::new()),
        other => other?,
    };
    let mut found = BTreeMap::new();
    for name in list[..size].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = String::from_utf8_lossy(name).into_owned();
        // labels are the building machine's
        if name == "security.selinux" {
            continue;
        }
        let mut value = vec![0u8; 65_536];
        let size = rustix::fs::lgetxattr(path, name.as_str(), &mut value[..])?;
        value.truncate(size);
        found.insert(name, value);
    }
    Ok(found)
}
