//! Checking a template against its checksums and its manifest, file by file, without unpacking it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use serde::Serialize;

use crate::checksums::Checksums;
use crate::error::Error;
use crate::hash::{self, HashWriter};
use crate::manifest::{Manifest, PathKind, PathRecord};
use crate::outputs::Names;

mod machine;

/// What was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Paths compared.
    pub paths: usize,
    /// Bytes of the uncompressed tar, or of the disk.
    pub bytes: u64,
    /// Whether a `SHA256SUMS` beside it lists the template.
    pub listed: bool,
    /// SHA-256 of the template.
    pub sha256: String,
}

/// Reads the manifest that belongs to a template (or is named itself).
///
/// # Errors
/// [`Error::Missing`], [`Error::NotIntact`], [`Error::Io`].
pub fn load_manifest(template: &Path) -> Result<Manifest, Error> {
    let name = template.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let path = match Names::of_archive(&name) {
        Some(names) => template.with_file_name(names.manifest()),
        None => template.to_owned(),
    };
    if !path.is_file() {
        return Err(Error::Missing {
            what: "the manifest",
            path,
            hint: "copy it from where the template came: it lies beside it as *.manifest.json".into(),
        });
    }
    let text = std::fs::read_to_string(&path).map_err(Error::io("reading", &path))?;
    Manifest::parse(&text).map_err(|detail| Error::NotIntact { path, detail })
}

/// Checks a template.
///
/// # Errors
/// [`Error::NotIntact`] with the first differences, [`Error::Missing`], [`Error::Io`].
pub fn verify(template: &Path) -> Result<Verified, Error> {
    if !template.is_file() {
        return Err(Error::Missing {
            what: "the template",
            path: template.to_owned(),
            hint: "build one with `smbgw-builder build images/debian-13.yaml`".into(),
        });
    }
    let broken = |detail: String| Error::NotIntact { path: template.to_owned(), detail };
    let listed = check_listed(template)?;
    let manifest = load_manifest(template)?;
    let (sha256, size) = hash::of_file(template).map_err(Error::io("reading", template))?;
    if (&sha256, size) != (&manifest.archive.sha256, manifest.archive.size) {
        return Err(broken(format!(
            "its SHA-256 is {sha256}, its manifest says {}",
            manifest.archive.sha256
        )));
    }
    let (differences, unpacked) = match (&manifest.tar, &manifest.disk) {
        (Some(tar), None) => (unpack(template, &manifest)?, (&tar.sha256, tar.size)),
        (None, Some(disk)) => {
            (machine::read(template, &manifest, disk).map_err(broken)?, (&disk.sha256, disk.virtual_size))
        }
        _ => return Err(broken("its manifest names neither a tar nor a disk".into())),
    };
    let Compared { differences, sha256: found, size: bytes } = differences;
    if !differences.is_empty() {
        let shown = differences.iter().take(10).map(|line| format!("\n  {line}")).collect::<String>();
        return Err(broken(format!("{} paths differ from the manifest:{shown}", differences.len())));
    }
    if (&found, bytes) != unpacked {
        return Err(broken("what is in it is not the manifest's".into()));
    }
    Ok(Verified { paths: manifest.files.len(), bytes, listed, sha256 })
}

/// What a template holds, beside its manifest.
struct Compared {
    /// One line for each path that differs.
    differences: Vec<String>,
    /// Of all that is in it, uncompressed.
    sha256: String,
    /// In bytes.
    size: u64,
}

fn unpack(template: &Path, manifest: &Manifest) -> Result<Compared, Error> {
    let broken = |error: io::Error| Error::NotIntact { path: template.to_owned(), detail: error.to_string() };
    let file = File::open(template).map_err(Error::io("reading", template))?;
    let decoder = zstd::Decoder::new(file).map_err(broken)?;
    let mut tee = Tee { inner: decoder, seen: HashWriter::new(io::sink()) };
    let differences = compare(records(&mut tee).map_err(broken)?, manifest);
    io::copy(&mut tee, &mut io::sink()).map_err(broken)?;
    let (sha256, size, _) = tee.seen.finish();
    Ok(Compared { differences, sha256, size })
}

/// Compares the template and the files that belong to it with `SHA256SUMS` beside them, if there is one that lists it.
fn check_listed(template: &Path) -> Result<bool, Error> {
    let name = template.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let directory = template.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let sums = Checksums::load(directory)?;
    let Some(names) = Names::of_archive(&name) else {
        return Ok(false);
    };
    for name in [names.archive(), names.manifest(), names.sbom(), names.sbom_spdx()] {
        let path = directory.join(&name);
        let Some(expected) = sums.get(&name).filter(|_| path.is_file()) else {
            continue;
        };
        let (found, _) = hash::of_file(&path).map_err(Error::io("reading", &path))?;
        if found != expected {
            return Err(Error::NotIntact {
                path,
                detail: format!("its SHA-256 is {found}, SHA256SUMS says {expected}"),
            });
        }
    }
    Ok(sums.get(&name).is_some())
}

/// One line for each path that differs.
fn compare(found: Vec<PathRecord>, manifest: &Manifest) -> Vec<String> {
    let mut expected: BTreeMap<&str, &PathRecord> =
        manifest.files.iter().map(|record| (record.path.as_str(), record)).collect();
    let mut differences = Vec::new();
    for found in found {
        match expected.remove(found.path.as_str()) {
            Some(record) if *record == found => {}
            Some(_) => differences.push(format!("{} is not as the manifest says", found.path)),
            None => differences.push(format!("{} is not in the manifest", found.path)),
        }
    }
    differences.extend(expected.into_keys().map(|path| format!("{path} is missing")));
    differences
}

/// What the manifest would say of each entry of a tar.
fn records(tar: impl Read) -> io::Result<Vec<PathRecord>> {
    let mut archive = tar::Archive::new(BufReader::with_capacity(1 << 20, tar));
    archive.entries()?.map(|entry| record(&mut entry?)).collect()
}

/// What the manifest would say of an entry.
fn record<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<PathRecord> {
    let absolute = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        format!("/{}", text.trim_start_matches('.').trim_matches('/'))
    };
    let link = |bytes: Option<std::borrow::Cow<'_, [u8]>>| {
        bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    let header = entry.header();
    let mut record = PathRecord {
        path: absolute(&entry.path_bytes()),
        kind: PathKind::Directory,
        mode: format!("{:04o}", header.mode()?),
        uid: header.uid()? as u32,
        gid: header.gid()? as u32,
        size: None,
        sha256: None,
        link: None,
    };
    match header.entry_type() {
        tar::EntryType::Directory => {}
        tar::EntryType::Regular => {
            let (sha256, size) = hash::of_reader(entry)?;
            record.kind = PathKind::File;
            (record.sha256, record.size) = (Some(sha256), Some(size));
        }
        tar::EntryType::Symlink => {
            record.kind = PathKind::Symlink;
            record.link = link(entry.link_name_bytes());
        }
        tar::EntryType::Link => {
            record.kind = PathKind::Hardlink;
            record.link = entry.link_name_bytes().map(|bytes| absolute(&bytes));
        }
        other => return Err(io::Error::other(format!("{} is a {other:?}", record.path))),
    }
    Ok(record)
}

/// Hashes what is read through it.
struct Tee<R> {
    inner: R,
    seen: HashWriter<io::Sink>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        io::Write::write_all(&mut self.seen, &buffer[..count])?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use smbgw_command::Interrupt;

    use super::*;
    use crate::form::Form;
    use crate::manifest::{AgentRecord, FORMAT, FileRecord, list_paths};
    use crate::outputs::Staging;
    use crate::tarball::{self, Level};
    use crate::tree::{Entry, Kind, Tree};

    /// A template of three files in a directory, with all that belongs to it.
    fn template(directory: &Path) -> PathBuf {
        let mut tree = Tree::default();
        tree.put("/usr/bin/perl", Entry::file("perl").with_mode(0o755)).unwrap();
        tree.put("/usr/bin/perl5", Entry { kind: Kind::Hardlink("/usr/bin/perl".into()), ..Entry::file("") })
            .unwrap();
        tree.put("/.hidden", Entry::file("dot")).unwrap();
        tree.put("/bin", Entry::symlink("usr/bin")).unwrap();
        let names = Names::new("t", "1", "amd64", Form::Container);
        let staging = Staging::create(directory).unwrap();
        let (packed, tar) =
            tarball::write(&tree, &staging.path(&names.archive()), Level::Quick, &Interrupt::new()).unwrap();
        let file =
            |name: String, layer: tarball::Layer| FileRecord { name, sha256: layer.sha256, size: layer.size };
        let manifest = Manifest {
            format: FORMAT,
            template: "t".into(),
            version: "1".into(),
            architecture: "amd64".into(),
            form: "lxc".into(),
            suite: "trixie".into(),
            samba: None,
            agent: AgentRecord { version: None, sha256: String::new() },
            recipe_hash: String::new(),
            lock_hash: String::new(),
            epoch: 0,
            archive: file(names.archive(), packed),
            tar: Some(file(names.tar(), tar)),
            disk: None,
            packages: vec![],
            files: list_paths(&tree),
        };
        staging.write(&names.manifest(), &manifest.to_text()).unwrap();
        staging.commit(&[names.manifest(), names.archive()]).unwrap();
        directory.join(names.archive())
    }

    fn change(path: &Path, from: &str, to: &str) {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    #[test]
    fn an_intact_template_is_said_to_be() {
        let directory = tempfile::tempdir().unwrap();
        let found = verify(&template(directory.path())).unwrap();
        assert_eq!((found.paths, found.listed), (7, true));
    }

    #[test]
    fn every_kind_of_damage_is_found() {
        let damage = |change: &dyn Fn(&Path)| {
            let directory = tempfile::tempdir().unwrap();
            let path = template(directory.path());
            std::fs::remove_file(directory.path().join("SHA256SUMS")).unwrap();
            change(&path);
            verify(&path).unwrap_err().to_string()
        };
        let manifest = |path: &Path| path.with_file_name("smb-gateway-t_1_amd64.manifest.json");
        let said = damage(&|path| std::fs::write(path, "short").unwrap());
        assert!(said.contains("SHA-256"), "{said}");
        let said = damage(&|path| change(&manifest(path), "\"0755\"", "\"0777\""));
        assert!(said.contains("1 paths differ"), "{said}");
        let said = damage(&|path| change(&manifest(path), "/.hidden", "/.other"));
        assert!(
            said.contains("/.hidden is not in the manifest") && said.contains("/.other is missing"),
            "{said}"
        );
        let said = damage(&|path| std::fs::remove_file(manifest(path)).unwrap());
        assert!(said.contains("manifest"), "{said}");
    }

    #[test]
    fn checksums_beside_it_count() {
        let directory = tempfile::tempdir().unwrap();
        let path = template(directory.path());
        let manifest = directory.path().join("smb-gateway-t_1_amd64.manifest.json");
        std::fs::write(&manifest, std::fs::read_to_string(&manifest).unwrap() + "\n").unwrap();
        assert!(verify(&path).unwrap_err().to_string().contains("SHA256SUMS"));
    }
}
