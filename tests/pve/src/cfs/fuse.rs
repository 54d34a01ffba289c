//! The kernel's side: numbers for paths, and answers.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, SessionACL,
    TimeOrNow, WriteFlags,
};

use super::tree::{Entry, Tree, What};
use crate::world::Node;

/// Group of all files. Source: Debian's base-passwd.
pub const WWW_DATA: u32 = 33;
/// Nothing is remembered: another node may change it.
const TTL: Duration = Duration::ZERO;

/// The file system.
#[derive(Debug)]
pub struct ClusterFs {
    tree: Tree,
    numbers: Mutex<Numbers>,
}

#[derive(Debug)]
struct Numbers {
    paths: HashMap<u64, PathBuf>,
    numbers: HashMap<PathBuf, u64>,
    next: u64,
}

type Result<T> = std::result::Result<T, Errno>;

fn told(errno: rustix::io::Errno) -> Errno {
    Errno::from_i32(errno.raw_os_error())
}

impl ClusterFs {
    /// Mounts it; it is there until the session is dropped.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn mount(node: Node, target: &Path) -> std::io::Result<BackgroundSession> {
        let root = (1, PathBuf::new());
        let numbers = Numbers {
            paths: HashMap::from([root.clone()]),
            numbers: HashMap::from([(root.1, root.0)]),
            next: 2,
        };
        let filesystem = Self { tree: Tree::new(node), numbers: Mutex::new(numbers) };
        let mut config = Config::default();
        config.mount_options =
            vec![MountOption::FSName("/dev/fuse".to_owned()), MountOption::DefaultPermissions];
        config.acl = SessionACL::All;
        fuser::spawn_mount(filesystem, target, &config)
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, number: INodeNo) -> Result<PathBuf> {
        self.tree.connected().map_err(told)?;
        self.numbers().paths.get(&number.0).cloned().ok_or(Errno::ENOENT)
    }

    fn child(&self, parent: INodeNo, name: &OsStr) -> Result<PathBuf> {
        Ok(self.path(parent)?.join(name))
    }

    fn number(&self, path: &Path) -> u64 {
        let mut numbers = self.numbers();
        if let Some(number) = numbers.numbers.get(path) {
            return *number;
        }
        let number = numbers.next;
        numbers.next += 1;
        numbers.paths.insert(number, path.to_owned());
        numbers.numbers.insert(path.to_owned(), number);
        number
    }

    /// What was at a path has gone, or is at another now. An open file keeps its number.
    fn moved(&self, from: &Path, to: Option<&Path>) {
        let mut numbers = self.numbers();
        let Some(number) = numbers.numbers.remove(from) else { return };
        match to {
            Some(to) => {
                if let Some(old) = numbers.numbers.insert(to.to_owned(), number) {
                    numbers.paths.remove(&old);
                }
                numbers.paths.insert(number, to.to_owned());
            }
            None => drop(numbers.paths.remove(&number)),
        }
    }

    fn attributes(&self, path: &Path) -> Result<FileAttr> {
        let Entry { what, mode, size, changed } = self.tree.entry(path).map_err(told)?;
        let kind = match what {
            What::Directory => FileType::Directory,
            What::File => FileType::RegularFile,
            What::Link => FileType::Symlink,
        };
        Ok(FileAttr {
            ino: INodeNo(self.number(path)),
            size,
            blocks: size.div_ceil(512),
            atime: changed,
            mtime: changed,
            ctime: changed,
            crtime: changed,
            kind,
            perm: mode,
            nlink: if what == What::Directory { 2 } else { 1 },
            uid: 0,
            gid: WWW_DATA,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    fn entry(&self, result: Result<PathBuf>, reply: ReplyEntry) {
        match result.and_then(|path| self.attributes(&path)) {
            Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
            Err(errno) => reply.error(errno),
        }
    }
}

fn done(result: Result<()>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

/// What is not here, pmxcfs does not have either: links, nodes, attributes, locks, fsync.
impl Filesystem for ClusterFs {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.entry(self.child(parent, name), reply);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.path(number).and_then(|path| self.attributes(&path)) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(errno) => reply.error(errno),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let result = self.path(number).and_then(|path| {
            if let Some(mode) = mode {
                self.tree.chmod(&path, mode).map_err(told)?;
            }
            if uid.is_some() || gid.is_some() {
                self.tree.chown(uid, gid).map_err(told)?;
            }
            if let Some(size) = size {
                self.tree.truncate(&path, size).map_err(told)?;
            }
            if let Some(time) = mtime {
                let time = match time {
                    TimeOrNow::SpecificTime(time) => time,
                    TimeOrNow::Now => SystemTime::now(),
                };
                self.tree.touch(&path, time).map_err(told)?;
            }
            // a lock that was dropped is not there any more, and its time was set all the same
            self.attributes(&path)
                .or_else(|errno| if mtime.is_some() { self.attributes(Path::new("")) } else { Err(errno) })
        });
        match result {
            Ok(mut attributes) => {
                attributes.ino = number;
                reply.attr(&TTL, &attributes);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        match self.path(number).and_then(|path| self.tree.link(&path).ok_or(Errno::EINVAL)) {
            Ok(target) => reply.data(target.as_bytes()),
            Err(errno) => reply.error(errno),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let result =
            self.child(parent, name).and_then(|path| self.tree.mkdir(&path).map(|()| path).map_err(told));
        self.entry(result, reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.child(parent, name).and_then(|path| {
            self.tree.remove(&path, false).map_err(told)?;
            self.moved(&path, None);
            Ok(())
        });
        done(removed, reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.child(parent, name).and_then(|path| {
            self.tree.remove(&path, true).map_err(told)?;
            self.moved(&path, None);
            Ok(())
        });
        done(removed, reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let renamed = self.child(parent, name).and_then(|from| {
            let to = self.child(new_parent, new_name)?;
            // libfuse's rename without flags: pmxcfs knows none
            if !flags.is_empty() {
                return Err(Errno::EINVAL);
            }
            self.tree.rename(&from, &to).map_err(told)?;
            self.moved(&from, Some(&to));
            Ok(())
        });
        done(renamed, reply);
    }

    fn open(&self, _: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let writes = flags.0 & 0o3 != 0;
        let opened = self
            .path(number)
            .and_then(|path| if writes { self.tree.may_write(&path).map_err(told) } else { Ok(()) });
        match opened {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.path(number).and_then(|path| self.tree.read(&path, offset, size as usize).map_err(told)) {
            Ok(data) => reply.data(&data),
            Err(errno) => reply.error(errno),
        }
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.path(number).and_then(|path| self.tree.write(&path, offset, data).map_err(told)) {
            Ok(()) => reply.written(data.len() as u32),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdir(&self, _: &Request, number: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = self.path(number).and_then(|path| Ok((self.tree.names(&path).map_err(told)?, path)));
        let (names, path) = match listed {
            Ok(listed) => listed,
            Err(errno) => return reply.error(errno),
        };
        for (index, name) in names.iter().enumerate().skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
            let child = path.join(name);
            let kind = match self.tree.entry(&child).map(|entry| entry.what) {
                Ok(What::Directory) => FileType::Directory,
                Ok(What::Link) => FileType::Symlink,
                Ok(What::File) => FileType::RegularFile,
                Err(_) => continue,
            };
            if reply.add(INodeNo(self.number(&child)), index as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        // 128 MiB and 256k files: pmxcfs.c, `cfs_fuse_statfs`
        let blocks = (128 << 20) / 4096;
        reply.statfs(blocks, blocks, blocks, 256 << 10, 256 << 10, 4096, 256, 4096);
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        let created = self.child(parent, name).and_then(|path| {
            self.tree.create(&path).map_err(told)?;
            self.attributes(&path)
        });
        match created {
            Ok(attributes) => {
                reply.created(&TTL, &attributes, Generation(0), FileHandle(0), FopenFlags::FOPEN_DIRECT_IO)
            }
            Err(errno) => reply.error(errno),
        }
    }
}
