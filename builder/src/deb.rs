//! Reading a `.deb`. Source: deb(5): an ar archive with a `control.tar` and a `data.tar` in it.

use std::io::Read;

use liblzma::stream::IGNORE_CHECK;

use crate::error::Error;

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;
/// Memory for unpacking xz: its highest level takes 65 MiB.
const XZ_MEMORY: u64 = 128 << 20;
/// What a package may always unpack to, how many times its own size (disk images of firmware are 60 times), and the most.
const UNPACKED: (u64, u64, u64) = (256 << 20, 256, 2 << 30);
/// The directories that a merged `/usr` has in `/usr`. Source: <https://wiki.debian.org/UsrMerge>.
pub const MERGED: &[&str] = &["/bin", "/lib", "/lib32", "/lib64", "/libo32", "/libx32", "/sbin"];

/// The text of the package's `control` file.
///
/// # Errors
/// [`Error::Tree`] with the name when the file is not a Debian package.
pub fn control(name: &str, deb: &[u8]) -> Result<String, Error> {
    read_control(deb).map_err(not_a_package(name))
}

/// Path and content of the regular files that are wanted. Paths are absolute, and under `/usr` where a merged `/usr` has
/// them, whatever the package says.
///
/// # Errors
/// [`Error::Tree`] with the name when the file is not a Debian package.
pub fn files(name: &str, deb: &[u8], wanted: &dyn Fn(&str) -> bool) -> Result<Vec<(String, Vec<u8>)>, Error> {
    read_files(deb, "data.tar", wanted).map_err(not_a_package(name))
}

/// A package, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The `control` file.
    pub control: String,
    /// What comes with it for dpkg: scripts, lists of configuration files, triggers. Sorted by name.
    pub members: Vec<Member>,
    /// The uncompressed tar of its files.
    pub data: Vec<u8>,
}

/// A file of `control.tar` beside `control` itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name: `postinst`, `md5sums` ...
    pub name: String,
    /// Permission bits.
    pub mode: u32,
    /// Seconds since 1970.
    pub mtime: i64,
    /// Its bytes.
    pub content: Vec<u8>,
}

impl Package {
    /// Takes a package apart.
    ///
    /// # Errors
    /// [`Error::Tree`] with the name when the file is not a Debian package.
    pub fn read(name: &str, deb: &[u8]) -> Result<Self, Error> {
        Self::parse(deb).map_err(not_a_package(name))
    }

    fn parse(deb: &[u8]) -> Result<Self, String> {
        let members = members(deb)?;
        let mut control = None;
        let mut others = Vec::new();
        for File { path, mode, mtime, content } in regular_files(unpack(&members, "control.tar")?, &|_| true)?
        {
            match path.strip_prefix('/').filter(|name| !name.contains('/')) {
                Some("control") => control = Some(String::from_utf8(content).map_err(text_of)?),
                Some(name) => others.push(Member { name: name.to_owned(), mode, mtime, content }),
                None => return Err(format!("{path} has no place in a control.tar")),
            }
        }
        others.sort_by(|a, b| a.name.cmp(&b.name));
        let mut data = Vec::new();
        unpack(&members, "data.tar")?.read_to_end(&mut data).map_err(text_of)?;
        Ok(Self { control: control.ok_or("no control file in it")?, members: others, data })
    }

    /// The file of this name in `control.tar`, as text.
    pub fn member(&self, name: &str) -> Option<&str> {
        let found = self.members.iter().find(|member| member.name == name)?;
        std::str::from_utf8(&found.content).ok()
    }

    /// The names in the tar of its files, in its order, as they stand there.
    ///
    /// # Errors
    /// A sentence for people when the tar cannot be read.
    pub fn names(&self) -> Result<Vec<String>, String> {
        let mut archive = tar::Archive::new(self.data.as_slice());
        archive
            .entries()
            .map_err(text_of)?
            .map(|entry| {
                let entry = entry.map_err(text_of)?;
                String::from_utf8(entry.path_bytes().into_owned()).map_err(text_of)
            })
            .collect()
    }
}

fn not_a_package(name: &str) -> impl FnOnce(String) -> Error {
    move |detail| Error::Tree(format!("{name} is not a Debian package: {detail}"))
}

fn read_control(deb: &[u8]) -> Result<String, String> {
    let control = unpack(&members(deb)?, "control.tar")?;
    let found = regular_files(control, &|path| path == "/control")?.pop().ok_or("no control file in it")?;
    String::from_utf8(found.content).map_err(text_of)
}

fn read_files(
    deb: &[u8],
    member: &str,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<(String, Vec<u8>)>, String> {
    let merged = |path: &str| wanted(&merged_usr(path));
    let found = regular_files(unpack(&members(deb)?, member)?, &merged)?;
    Ok(found.into_iter().map(|file| (merged_usr(&file.path), file.content)).collect())
}

/// The uncompressed bytes of a member; an error where they are more than a package of its size holds.
fn unpack<'a>(members: &[(String, &'a [u8])], member: &str) -> Result<Box<dyn Read + 'a>, String> {
    let (name, data) = members
        .iter()
        .find(|(name, _)| name.starts_with(member))
        .ok_or_else(|| format!("no {member} in it"))?;
    let unpacked: Box<dyn Read> = match &name[member.len()..] {
        ".xz" => {
            // who reads a package has checked the SHA-256 of all of it
            let decoder = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, IGNORE_CHECK);
            Box::new(liblzma::read::XzDecoder::new_stream(*data, decoder.map_err(text_of)?))
        }
        ".zst" => Box::new(zstd::Decoder::new(*data).map_err(text_of)?),
        "" => Box::new(*data),
        _ => return Err(format!("{name} has a compression that is not known")),
    };
    let (always, times, most) = UNPACKED;
    let left = (data.len() as u64 * times).clamp(always, most);
    Ok(Box::new(Bounded { inner: unpacked, left }))
}

/// Fails when more comes than a package may hold, so that a few bytes that claim gigabytes do not become them.
struct Bounded<R> {
    inner: R,
    /// Bytes that may still come.
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            std::io::Error::other("it unpacks to far more than a package of its size holds")
        })?;
        Ok(count)
    }
}

/// A regular file in a tar.
struct File {
    path: String,
    mode: u32,
    mtime: i64,
    content: Vec<u8>,
}

/// The regular files that are wanted.
fn regular_files(tar: impl Read, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<File>, String> {
    let mut found = Vec::new();
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries().map_err(text_of)? {
        let mut entry = entry.map_err(text_of)?;
        let path = absolute(&String::from_utf8_lossy(&entry.path_bytes()));
        if entry.header().entry_type() == tar::EntryType::Regular && wanted(&path) {
            let mode = entry.header().mode().map_err(text_of)? & 0o7777;
            let size = entry.size();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(text_of)?;
            // tar's reader takes an archive's sudden end for a file's
            if content.len() as u64 != size {
                return Err("cut short".into());
            }
            let mtime = entry.header().mtime().map_err(text_of)? as i64;
            found.push(File { path, mode, mtime, content });
        }
    }
    Ok(found)
}

fn text_of(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn absolute(path: &str) -> String {
    format!("/{}", path.strip_prefix("./").unwrap_or(path).trim_matches('/'))
}

/// Where a merged `/usr` has an absolute path.
pub fn merged_usr(path: &str) -> String {
    let aliased = MERGED.iter().any(|top| path.strip_prefix(top).is_some_and(|rest| rest.starts_with('/')));
    if aliased { format!("/usr{path}") } else { path.to_owned() }
}

/// Names and contents in an ar archive.
fn members(archive: &[u8]) -> Result<Vec<(String, &[u8])>, String> {
    let mut rest = archive.strip_prefix(MAGIC).ok_or("not an ar archive")?;
    let mut found = Vec::new();
    while rest.len() >= HEADER {
        let (header, after) = rest.split_at(HEADER);
        let text = |range: std::ops::Range<usize>| {
            std::str::from_utf8(&header[range]).unwrap_or_default().trim_end()
        };
        let size: usize = text(48..58).parse().map_err(|_| "a member without a size")?;
        let data = after.get(..size).ok_or("cut short")?;
        found.push((text(0..16).trim_end_matches('/').to_owned(), data));
        rest = after.get(size + size % 2..).unwrap_or_default();
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ar(name: &str, data: &[u8]) -> Vec<u8> {
        let mut archive = MAGIC.to_vec();
        archive.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 644, data.len()).bytes());
        archive.extend(data);
        archive
    }

    fn control_tar(text: &str) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        builder.append_data(&mut header, "./control", text.as_bytes()).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn control_of_a_package_in_each_compression() {
        let tar = control_tar("Package: a\n");
        let mut xz = Vec::new();
        liblzma::read::XzEncoder::new(tar.as_slice(), 1).read_to_end(&mut xz).unwrap();
        let zst = zstd::encode_all(tar.as_slice(), 1).unwrap();
        for (name, data) in [("control.tar", tar), ("control.tar.xz", xz), ("control.tar.zst/", zst)] {
            assert_eq!(control("a", &ar(name, &data)).unwrap(), "Package: a\n");
        }
    }

    #[test]
    fn files_are_found_where_a_merged_usr_has_them() {
        let mut builder = tar::Builder::new(Vec::new());
        for path in ["./lib/a.so", "./usr/bin/b", "./etc/c"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(1);
            header.set_mode(0o644);
            header.set_mtime(0);
            builder.append_data(&mut header, path, &b"x"[..]).unwrap();
        }
        let deb = ar("data.tar", &builder.into_inner().unwrap());
        let found = files("a", &deb, &|path| path.starts_with("/usr/")).unwrap();
        assert_eq!(
            found,
            [("/usr/lib/a.so".to_owned(), b"x".to_vec()), ("/usr/bin/b".to_owned(), b"x".to_vec())]
        );
    }

    #[test]
    fn other_files_are_refused() {
        assert!(control("a", b"<html>404</html>").is_err());
        assert!(control("a", &ar("data.tar.xz", b"")).is_err());
        assert!(control("a", &ar("control.tar", b"short")).is_err());
    }

    #[test]
    fn packages_that_unpack_to_gigabytes_are_refused() {
        let mut tar = control_tar("Package: a\n");
        tar.truncate(1024);
        let mut header = tar::Header::new_gnu();
        header.set_path("./control").unwrap();
        header.set_size(1 << 40);
        header.set_mode(0o644);
        header.set_cksum();
        tar.extend(header.as_bytes());
        let zeros = std::io::Read::take(std::io::repeat(0), 300 << 20);
        let zst = zstd::encode_all(tar.as_slice().chain(zeros), 1).unwrap();
        assert!(zst.len() < 64 << 10, "{}", zst.len());
        let error = control("a", &ar("control.tar.zst", &zst)).unwrap_err().to_string();
        assert!(error.contains("far more"), "{error}");
        // a file that only claims to be large is cut short
        assert!(control("a", &ar("control.tar", &tar)).is_err());
    }

    #[test]
    fn xz_that_wants_gigabytes_of_memory_is_refused() {
        let deb = include_bytes!("../../fuzz/corpus/deb/xz-dictionary-of-1536-mib.deb");
        let error = control("a", deb).unwrap_err().to_string();
        assert!(error.contains("memory"), "{error}");
    }

    proptest! {
        #[test]
        fn damaged_archives_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_control(&bytes);
            let _ = read_control(&[MAGIC, &bytes].concat());
        }
    }
}
