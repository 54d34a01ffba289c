//! From a tree to a tar whose bytes depend on nothing but the tree.
//!
//! The format is ustar with pax records only where ustar has no room (POSIX.1-2001), names start with `./` (Proxmox's
//! `--exclude ./dev/*` expects that), owners are numbers.

use std::io::{self, Write};

use super::{Entry, Kind, Tree};

const BLOCK: usize = 512;

/// Writes the tree.
///
/// # Errors
/// Those of the writer.
pub fn write_tar(tree: &Tree, out: &mut impl Write) -> io::Result<()> {
    let mut tar = TarWriter::new(out);
    for (path, entry) in tree.entries() {
        let content = match &entry.kind {
            Kind::File(content) => tree.bytes(content),
            _ => &[],
        };
        tar.entry(path, entry, content)?;
    }
    tar.finish().map(drop)
}

/// Writes a tar entry by entry, in the order of [`Tree::entries`].
pub struct TarWriter<W> {
    out: W,
}

impl<W: Write> TarWriter<W> {
    /// A new tar.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Writes an entry; `content` is that of a file.
    ///
    /// # Errors
    /// Those of the writer, and when something does not fit a tar's header.
    pub fn entry(&mut self, path: &str, entry: &Entry, content: &[u8]) -> io::Result<()> {
        let (flag, size, target) = match &entry.kind {
            Kind::Directory => (b'5', 0, String::new()),
            Kind::File(_) => (b'0', content.len(), String::new()),
            Kind::Symlink(target) => (b'2', 0, target.clone()),
            Kind::Hardlink(target) => (b'1', 0, format!(".{target}")),
        };
        let mut name = format!(".{path}");
        if flag == b'5' && !name.ends_with('/') {
            name.push('/');
        }
        let mut records = Vec::new();
        let split = split_name(&name);
        if split.is_none() {
            record(&mut records, "path", name.as_bytes());
        }
        if target.len() > 100 {
            record(&mut records, "linkpath", target.as_bytes());
        }
        for (xattr, value) in &entry.xattrs {
            record(&mut records, &format!("SCHILY.xattr.{xattr}"), value);
        }
        let mtime = entry.mtime.max(0) as u64;
        if !records.is_empty() {
            let pax = Header { flag: b'x', mode: 0o644, uid: 0, gid: 0, size: records.len(), mtime };
            self.out.write_all(&pax.block("", "./PaxHeaders", "")?)?;
            write_padded(&mut self.out, &records)?;
        }
        let header = Header { flag, mode: entry.mode, uid: entry.uid, gid: entry.gid, size, mtime };
        let (prefix, rest) = split.unwrap_or(("", cut(&name)));
        self.out.write_all(&header.block(prefix, rest, cut(&target))?)?;
        write_padded(&mut self.out, &content[..size])
    }

    /// Writes the end, and gives the writer back.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        Ok(self.out)
    }
}

struct Header {
    flag: u8,
    mode: u32,
    uid: u32,
    gid: u32,
    size: usize,
    mtime: u64,
}

impl Header {
    fn block(&self, prefix: &str, name: &str, target: &str) -> io::Result<[u8; BLOCK]> {
        let mut block = [0; BLOCK];
        put(&mut block, 0, name.as_bytes());
        octal(&mut block[100..108], u64::from(self.mode))?;
        octal(&mut block[108..116], u64::from(self.uid))?;
        octal(&mut block[116..124], u64::from(self.gid))?;
        octal(&mut block[124..136], self.size as u64)?;
        octal(&mut block[136..148], self.mtime)?;
        put(&mut block, 148, b"        ");
        block[156] = self.flag;
        put(&mut block, 157, target.as_bytes());
        put(&mut block, 257, b"ustar\x0000");
        put(&mut block, 345, prefix.as_bytes());
        let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
        octal(&mut block[148..155], sum)?;
        Ok(block)
    }
}

fn put(block: &mut [u8], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Zero-padded octal with a NUL at the end.
fn octal(field: &mut [u8], value: u64) -> io::Result<()> {
    let digits = field.len() - 1;
    let text = format!("{value:0digits$o}");
    if text.len() > digits {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{value} does not fit a tar header")));
    }
    field[..digits].copy_from_slice(text.as_bytes());
    field[digits] = 0;
    Ok(())
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend(format!("{length} {key}=").bytes());
    records.extend(value);
    records.push(b'\n');
}

/// Prefix and name of a ustar header, if the name fits.
fn split_name(name: &str) -> Option<(&str, &str)> {
    if name.len() <= 100 {
        return Some(("", name));
    }
    name.match_indices('/')
        .map(|(at, _)| (&name[..at], &name[at + 1..]))
        .find(|(prefix, rest)| prefix.len() <= 155 && !rest.is_empty() && rest.len() <= 100)
}

/// What stands in the header of an entry whose real name is in a pax record.
fn cut(name: &str) -> &str {
    let end = (0..=name.len().min(100)).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    &name[..end]
}

fn write_padded(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(bytes)?;
    let over = bytes.len() % BLOCK;
    if over > 0 {
        out.write_all(&[0; BLOCK][over..])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(tree: &Tree) -> Tree {
        let mut tar = Vec::new();
        write_tar(tree, &mut tar).unwrap();
        Tree::read_tar(tar).unwrap()
    }

    #[test]
    fn everything_an_entry_has_survives() {
        let mut tree = Tree::default();
        let long = format!("/usr/{}", "x".repeat(180));
        let mut capable = Entry::file("elf").with_mode(0o755);
        capable.xattrs.insert("security.capability".into(), vec![1, 0, 0, 2, 0, 32, 0, 0]);
        capable.xattrs.insert("security.other".into(), b"\n9 path=x\n".to_vec());
        capable.mtime = 1_700_000_000;
        (capable.uid, capable.gid) = (998, 65_534);
        tree.put("/usr/bin/ping", capable).unwrap();
        tree.put(&long, Entry::file("long name")).unwrap();
        tree.put("/usr/long-link", Entry::symlink("y".repeat(150))).unwrap();
        tree.put("/usr/bin/zing", Entry { kind: Kind::Hardlink("/usr/bin/ping".into()), ..Entry::file("") })
            .unwrap();
        let deep = format!("/{}/{}/file", "d".repeat(90), "e".repeat(90));
        tree.put(&deep, Entry::file("")).unwrap();
        let back = round_trip(&tree);
        for (path, entry) in tree.entries() {
            let found = back.get(path).unwrap_or_else(|| panic!("{path} is gone"));
            assert_eq!(
                (found.mode, found.uid, found.gid, found.mtime),
                (entry.mode, entry.uid, entry.gid, entry.mtime)
            );
            assert_eq!((back.file(path), &found.xattrs), (tree.file(path), &entry.xattrs), "{path}");
        }
        assert_eq!(back.len(), tree.len());
    }

    #[test]
    fn gnu_tar_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let mut tree = Tree::default();
        tree.put("/etc/hostname", Entry::file("gateway\n")).unwrap();
        let mut tar = Vec::new();
        write_tar(&tree, &mut tar).unwrap();
        let path = directory.path().join("t.tar");
        std::fs::write(&path, tar).unwrap();
        use smbgw_command::{Command, Runner, System};
        let list = Command::new("tar").args(["--numeric-owner", "-tvf", &path.to_string_lossy()]);
        let text = System::new().run(&list).unwrap().text(&list).unwrap();
        assert!(text.contains("-rw-r--r-- 0/0") && text.contains("./etc/hostname"), "{text}");
        assert_eq!(text.lines().count(), 3);
    }

    proptest! {
        #[test]
        fn any_names_survive(names in proptest::collection::btree_set("[a-zé ]{1,40}(/[a-zé]{1,90}){0,4}x", 0..6)) {
            let mut tree = Tree::default();
            tree.put("/x", Entry::directory()).unwrap();
            for name in names {
                let _ = tree.put(&format!("/{name}"), Entry::file(name.clone()));
            }
            let back = round_trip(&tree);
            for (path, _) in tree.entries() {
                prop_assert_eq!(back.file(path), tree.file(path));
            }
        }

        #[test]
        fn damaged_tars_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let _ = Tree::read_tar(bytes);
        }
    }
}
