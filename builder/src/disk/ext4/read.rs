//! What is in a file system. It may be damaged or forged: reading ends, and takes no more memory than it should.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

use mkext4::reader::{FileExtent, Fs, ReadAt};
use mkext4::spec::Inode;
use mkext4::spec::extent::{self, ExtentHeader, ExtentIdx};

use super::attributes;
use crate::hash;
use crate::manifest::PathRecord;
use crate::tree::{Entry, Kind};

/// The superblock's first byte. Source: ext4(5) of the kernel, "Super Block".
const SUPERBLOCK: u64 = 1024;
/// Made by every writer of ext4, for its checker.
const LOST_AND_FOUND: &str = "/lost+found";

/// A part of a disk as mkext4 reads it.
pub struct Part<'a, D> {
    disk: &'a D,
    offset: u64,
}

impl<D: ReadAt> ReadAt for Part<'_, D> {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let at = self.offset.checked_add(offset).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.disk.read_exact_at(at, buffer)
    }
}

/// A file system that is read.
pub type Reader<'a, D> = Fs<Part<'a, D>>;

/// Opens the file system that begins at this byte of a disk.
///
/// # Errors
/// A sentence for people, also when it claims to be larger than what is left of the disk.
pub fn open<D: ReadAt>(disk: &D, offset: u64) -> Result<Reader<'_, D>, String> {
    // the library shifts by this before it looks at it; 2 stands for the blocks of 4 KiB that we write
    let mut block_size = [0; 4];
    let read = Part { disk, offset }.read_exact_at(SUPERBLOCK + 0x18, &mut block_size);
    read.map_err(|error| error.to_string())?;
    if u32::from_le_bytes(block_size) != 2 {
        return Err("there is no ext4 file system with blocks of 4 KiB".into());
    }
    let system = Fs::open(Part { disk, offset }).map_err(|error| error.to_string())?;
    // sizes of files are held against its size, so that must be true
    let last = size(&system).and_then(|size| size.checked_sub(1));
    let there = last.is_some_and(|last| Part { disk, offset }.read_exact_at(last, &mut [0]).is_ok());
    if there { Ok(system) } else { Err("the file system is larger than its disk".into()) }
}

/// Bytes that it claims to have room for.
fn size<D: ReadAt>(system: &Reader<'_, D>) -> Option<u64> {
    let superblock = system.superblock();
    superblock.blocks_count.checked_mul(superblock.block_size())
}

/// Every path of a file system as a manifest has it, sorted by its bytes.
///
/// # Errors
/// A sentence for people when the file system is damaged, or holds what no template may.
pub fn paths<D: ReadAt>(system: &Reader<'_, D>) -> Result<Vec<PathRecord>, String> {
    let mut inodes = BTreeMap::new();
    walk(system, "/", mkext4::spec::consts::ROOT_INO, &mut inodes).map_err(|error| error.to_string())?;
    let mut first_names: HashMap<u32, &str> = HashMap::new();
    let mut records = Vec::with_capacity(inodes.len());
    // holes could make files of any size of nothing; the writer makes none
    let mut room = size(system).unwrap_or(0);
    for (path, number) in &inodes {
        let first = *first_names.entry(*number).or_insert(path);
        let record = record(system, path, *number, first, &mut room);
        records.push(record.map_err(|error| format!("{path}: {error}"))?);
    }
    Ok(records)
}

/// Names and contents of the files right in a directory whose names end so, which have at most so many bytes together.
///
/// # Errors
/// A sentence for people when the file system is damaged, has no such directory, or such files are too large.
pub fn files_in<D: ReadAt>(
    system: &Reader<'_, D>,
    directory: &str,
    ending: &str,
    most: u64,
) -> Result<Vec<(String, Vec<u8>)>, String> {
    let said = |error: mkext4::Error| format!("{directory}: {error}");
    let checked = |number: u32| {
        let inode = system.inode(number).map_err(said)?;
        check_extents(system, &inode).map_err(said)?;
        Ok::<Inode, String>(inode)
    };
    let mut number = mkext4::spec::consts::ROOT_INO;
    for part in directory.split('/').filter(|part| !part.is_empty()) {
        checked(number)?;
        let found = system.lookup(number, part.as_bytes()).map_err(said)?;
        number = found.ok_or_else(|| format!("there is no {directory}"))?;
    }
    checked(number)?;
    let (mut files, mut room) = (Vec::new(), most);
    for entry in system.read_dir(number).map_err(said)? {
        let name = String::from_utf8_lossy(&entry.name).into_owned();
        if name.ends_with(ending) {
            let left = room.checked_sub(checked(entry.inode)?.size);
            room = left.ok_or_else(|| format!("{directory}/{name} is too large"))?;
            files.push((name, system.read_file(entry.inode).map_err(said)?));
        }
    }
    Ok(files)
}

fn walk<D: ReadAt>(
    system: &Reader<'_, D>,
    path: &str,
    number: u32,
    inodes: &mut BTreeMap<String, u32>,
) -> mkext4::Result<()> {
    // a loop of directories would never end otherwise
    if inodes.insert(path.to_owned(), number).is_some() || path.len() > 4096 {
        return Err(mkext4::Error::Invalid(format!("{path} is there twice")));
    }
    check_extents(system, &system.inode(number)?)?;
    for entry in system.read_dir(number)? {
        let name = String::from_utf8_lossy(&entry.name);
        let below = format!("{}/{name}", path.trim_end_matches('/'));
        if matches!(name.as_ref(), "." | "..") || below == LOST_AND_FOUND {
            continue;
        }
        let inode = system.inode(entry.inode)?;
        if inode.mode & TYPE == DIRECTORY {
            walk(system, &below, entry.inode, inodes)?;
        } else {
            check_extents(system, &inode)?;
            inodes.insert(below, entry.inode);
        }
    }
    Ok(())
}

/// More than a file in thousands of pieces has; the writer's have none.
const MOST_EXTENT_BLOCKS: usize = 4096;

/// Whether each block of an inode's extents is there once. Where one leads to another several times, following them all takes a
/// lifetime: five levels of 340 each.
fn check_extents<D: ReadAt>(system: &Reader<'_, D>, inode: &Inode) -> mkext4::Result<()> {
    let Some(root) = inode.extent_root() else { return Ok(()) };
    let (mut seen, mut nodes) = (BTreeSet::new(), vec![root.to_vec()]);
    while let Some(node) = nodes.pop() {
        let header = ExtentHeader::decode(&node)?;
        let room = node.len().saturating_sub(ExtentHeader::LEN) / ExtentHeader::ENTRY_LEN;
        // the last level names the file's own blocks
        let below = if header.depth == 0 { 0 } else { usize::from(header.entries).min(room) };
        for number in 0..below {
            let block = ExtentIdx::decode(extent::entry(&node, number)).leaf;
            if !seen.insert(block) || seen.len() > MOST_EXTENT_BLOCKS {
                return Err(mkext4::Error::Invalid("the list of its blocks leads in circles".to_owned()));
            }
            nodes.push(system.read_block(block)?);
        }
    }
    Ok(())
}

/// Source: inode(7).
const TYPE: u16 = 0o170_000;
const DIRECTORY: u16 = 0o040_000;
const REGULAR: u16 = 0o100_000;
const SYMLINK: u16 = 0o120_000;

fn record<D: ReadAt>(
    system: &Reader<'_, D>,
    path: &str,
    number: u32,
    first: &str,
    room: &mut u64,
) -> Result<PathRecord, String> {
    let said = |error: mkext4::Error| error.to_string();
    let inode = system.inode(number).map_err(said)?;
    let (kind, content) = match inode.mode & TYPE {
        DIRECTORY => (Kind::Directory, None),
        REGULAR if path == first => {
            *room = room.checked_sub(inode.size).ok_or("it is larger than the file system has room for")?;
            let extents = system.extents(number, &inode).map_err(said)?;
            let content = FileReader { system, inode: &inode, extents: &extents, at: 0 };
            let content = io::BufReader::with_capacity(PIECE, content);
            let read = hash::of_reader(content).map_err(|error| error.to_string())?;
            (Entry::file("").kind, Some(read))
        }
        REGULAR => (Kind::Hardlink(first.to_owned()), None),
        SYMLINK => {
            let target = system.symlink_target(number).map_err(said)?;
            (Kind::Symlink(String::from_utf8_lossy(&target).into_owned()), None)
        }
        other => return Err(format!("an entry of type {other:o}, which no template may hold")),
    };
    let entry = Entry {
        kind,
        mode: u32::from(inode.mode & 0o7777),
        uid: inode.uid,
        gid: inode.gid,
        mtime: 0,
        xattrs: attributes::read(system, number)?,
    };
    let record = PathRecord::new(path, &entry);
    Ok(match content {
        Some((sha256, size)) => record.with_content(sha256, size),
        None => record,
    })
}

/// What is read of a file at a time.
const PIECE: usize = 256 << 10;

/// A regular file, from its first byte.
struct FileReader<'a, D: ReadAt> {
    system: &'a Reader<'a, D>,
    inode: &'a Inode,
    extents: &'a [FileExtent],
    at: u64,
}

impl<D: ReadAt> io::Read for FileReader<'_, D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.system.read_file_at(self.inode, self.extents, self.at, buffer);
        let count = read.map_err(io::Error::other)?;
        self.at += count as u64;
        Ok(count)
    }
}
