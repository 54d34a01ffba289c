//! Checking a template against its checksums and its manifest, file by file, without unpacking it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::checksums::{self, Checksums};
use crate::diff::{Aspect, aspects};
use crate::error::Error;
use crate::hash::{self, HashWriter};
use crate::manifest::{Manifest, PathRecord};
use crate::outputs::Names;
use crate::sign::PublicKey;
use crate::tree::{Kind, read_entries};

mod machine;
mod signatures;

use signatures::Signed;
pub use signatures::Vouched;

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
    /// Who vouches for it.
    pub signature: Vouched,
}

/// Reads the manifest that belongs to a template (or is named itself).
///
/// # Errors
/// [`Error::Missing`], [`Error::NotIntact`], [`Error::Io`].
pub fn load_manifest(template: &Path) -> Result<Manifest, Error> {
    let (path, text) = read_manifest(template)?;
    Manifest::parse(&text).map_err(|detail| Error::NotIntact { path, detail })
}

/// The manifest's path and text.
fn read_manifest(template: &Path) -> Result<(PathBuf, String), Error> {
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
    Ok((path, text))
}

/// Checks a template. With a key, manifest and `SHA256SUMS` must be signed with it.
///
/// # Errors
/// [`Error::Signature`], [`Error::NotIntact`] with the first differences, [`Error::Missing`], [`Error::Io`].
pub fn verify(template: &Path, key: Option<&PublicKey>) -> Result<Verified, Error> {
    if !template.is_file() {
        return Err(Error::Missing {
            what: "the template",
            path: template.to_owned(),
            hint: "build one with `smbgw-builder build images/debian-13.yaml`".into(),
        });
    }
    let broken = |detail: String| Error::NotIntact { path: template.to_owned(), detail };
    let name = template.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let names = Names::of_archive(&name)
        .ok_or_else(|| broken("it is called neither *.tar.zst nor *.qcow2, so it is no template".into()))?;
    let directory = template.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (manifest_path, manifest) = read_manifest(template)?;
    let sums = Checksums::read(directory)?;
    let signed = Signed { directory, names: &names, manifest: &manifest, sums: sums.as_deref() };
    let signature = match key {
        Some(key) => signed.check(key)?,
        None => signed.unchecked()?,
    };
    let sums = sums.as_deref().map(Checksums::parse).unwrap_or_default();
    check_listed(directory, &names, &sums)?;
    let listed = sums.get(&name).is_some();
    let manifest =
        Manifest::parse(&manifest).map_err(|detail| Error::NotIntact { path: manifest_path, detail })?;
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
    Ok(Verified { paths: manifest.files.len(), bytes, listed, sha256, signature })
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
    let found = records(&mut tee)
        .map_err(|error| Error::NotIntact { path: template.to_owned(), detail: error.to_string() })?;
    let differences = compare(found, manifest);
    io::copy(&mut tee, &mut io::sink()).map_err(broken)?;
    let (sha256, size, _) = tee.seen.finish();
    Ok(Compared { differences, sha256, size })
}

/// Compares the template and the files that belong to it with `SHA256SUMS` beside them, if there is one that lists it.
fn check_listed(directory: &Path, names: &Names, sums: &Checksums) -> Result<(), Error> {
    for name in [names.archive(), names.manifest(), names.sbom(), names.sbom_spdx()] {
        let path = directory.join(&name);
        let Some(expected) = sums.get(&name).filter(|_| path.is_file()) else {
            continue;
        };
        let (found, _) = hash::of_file(&path).map_err(Error::io("reading", &path))?;
        if found != expected {
            return Err(Error::NotIntact {
                path,
                detail: format!("its SHA-256 is {found}, {} says {expected}", checksums::NAME),
            });
        }
    }
    Ok(())
}

/// One line for each path that differs.
fn compare(found: Vec<PathRecord>, manifest: &Manifest) -> Vec<String> {
    let mut expected: BTreeMap<&str, &PathRecord> =
        manifest.files.iter().map(|record| (record.path.as_str(), record)).collect();
    let mut differences = Vec::new();
    for found in found {
        match expected.remove(found.path.as_str()) {
            Some(record) if *record == found => {}
            Some(record) => {
                let what: Vec<&str> = aspects(record, &found).into_iter().map(Aspect::word).collect();
                differences.push(format!("{} is not as the manifest says: {}", found.path, what.join(", ")));
            }
            None => differences.push(format!("{} is not in the manifest", found.path)),
        }
    }
    differences.extend(expected.into_keys().map(|path| format!("{path} is missing")));
    differences
}

/// What the manifest would say of each entry of a tar.
fn records(tar: impl Read) -> Result<Vec<PathRecord>, Error> {
    let mut records = Vec::new();
    read_entries(BufReader::with_capacity(1 << 20, tar), |path, entry, content| {
        let record = PathRecord::new(&path, &entry);
        records.push(match entry.kind {
            Kind::File(_) => {
                let (sha256, size) = hash::of_reader(content)
                    .map_err(|error| Error::Tree(format!("{path} cannot be read: {error}")))?;
                record.with_content(sha256, size)
            }
            _ => record,
        });
        Ok(())
    })?;
    Ok(records)
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
    use crate::sign::{KeyFile, SecretKey, SignatureFault};
    use crate::tarball::{self, Level};
    use crate::tree::{Entry, Tree};

    fn template(directory: &Path) -> PathBuf {
        signed(directory, None)
    }

    /// A template of three files in a directory, with all that belongs to it.
    fn signed(directory: &Path, key: Option<&SecretKey>) -> PathBuf {
        let mut tree = Tree::default();
        tree.put("/usr/bin/perl", Entry::file("perl").with_mode(0o755)).unwrap();
        tree.put("/usr/bin/perl5", Entry { kind: Kind::Hardlink("/usr/bin/perl".into()), ..Entry::file("") })
            .unwrap();
        let mut hidden = Entry::file("dot");
        hidden.xattrs.insert("security.capability".into(), b"\n1 x=".to_vec());
        tree.put("/.hidden", hidden).unwrap();
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
            build: None,
            archive: file(names.archive(), packed),
            tar: Some(file(names.tar(), tar)),
            disk: None,
            packages: vec![],
            files: list_paths(&tree),
        };
        staging.write(&names.manifest(), &manifest.to_text()).unwrap();
        if let Some(key) = key {
            staging.sign(&names.manifest(), key, "template:t").unwrap();
        }
        staging.commit(&[names.manifest(), names.archive()], key).unwrap();
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
        let found = verify(&template(directory.path()), None).unwrap();
        assert_eq!((found.paths, found.listed), (7, true));
    }

    #[test]
    fn every_kind_of_damage_is_found() {
        let damage = |change: &dyn Fn(&Path)| {
            let directory = tempfile::tempdir().unwrap();
            let path = template(directory.path());
            std::fs::remove_file(directory.path().join("SHA256SUMS")).unwrap();
            change(&path);
            verify(&path, None).unwrap_err().to_string()
        };
        let manifest = |path: &Path| path.with_file_name("smb-gateway-t_1_amd64.manifest.json");
        let said = damage(&|path| std::fs::write(path, "short").unwrap());
        assert!(said.contains("SHA-256"), "{said}");
        let said = damage(&|path| change(&manifest(path), "\"0755\"", "\"0777\""));
        assert!(said.contains("1 paths differ"), "{said}");
        let said = damage(&|path| change(&manifest(path), "0a3120783d", "0a3120783e"));
        assert!(said.contains("/.hidden is not as the manifest says: attributes"), "{said}");
        let said = damage(&|path| change(&manifest(path), "/.hidden", "/.other"));
        assert!(
            said.contains("/.hidden is not in the manifest") && said.contains("/.other is missing"),
            "{said}"
        );
        let said = damage(&|path| std::fs::remove_file(manifest(path)).unwrap());
        assert!(said.contains("manifest"), "{said}");
    }

    const MANIFEST: &str = "smb-gateway-t_1_amd64.manifest.json";

    fn key(directory: &Path, name: &str) -> SecretKey {
        let file = KeyFile { key: directory.join(name), password: None };
        file.create().unwrap();
        file.load().unwrap()
    }

    #[test]
    fn a_signed_template_says_who_signed_it() {
        let directory = tempfile::tempdir().unwrap();
        let key = key(directory.path(), "key");
        let path = signed(directory.path(), Some(&key));
        let found = verify(&path, Some(&key.public())).unwrap();
        let key_id = key.id().to_string();
        let comment = format!("file:{MANIFEST} template:t");
        assert_eq!(found.signature, Vouched::Verified { key_id: key_id.clone(), comment });
        assert_eq!(verify(&path, None).unwrap().signature, Vouched::NotChecked { key_id: Some(key_id) });
        // everything else is checked all the same
        let staging = Staging::create(directory.path()).unwrap();
        std::fs::copy(path.with_file_name(MANIFEST), staging.path(MANIFEST)).unwrap();
        change(&staging.path(MANIFEST), "\"0755\"", "\"0777\"");
        staging.sign(MANIFEST, &key, "").unwrap();
        std::fs::copy(&path, staging.path("smb-gateway-t_1_amd64.tar.zst")).unwrap();
        staging.commit(&[MANIFEST.into(), "smb-gateway-t_1_amd64.tar.zst".into()], Some(&key)).unwrap();
        let said = verify(&path, Some(&key.public())).unwrap_err().to_string();
        assert!(said.contains("1 paths differ"), "{said}");
    }

    #[test]
    fn every_fault_of_a_signature_is_found() {
        let fault = |change: &dyn Fn(&Path)| {
            let directory = tempfile::tempdir().unwrap();
            let key = key(directory.path(), "key");
            let path = signed(directory.path(), Some(&key));
            change(directory.path());
            match verify(&path, Some(&key.public())) {
                Err(Error::Signature { path, fault }) => {
                    (path.file_name().unwrap().to_string_lossy().into_owned(), fault)
                }
                other => panic!("{other:?}"),
            }
        };
        for name in [MANIFEST, "SHA256SUMS"] {
            let signature = format!("{name}.minisig");
            let (of, found) = fault(&|directory| std::fs::remove_file(directory.join(&signature)).unwrap());
            assert_eq!((of.as_str(), found), (name, SignatureFault::Missing(signature.clone())));
            let (of, found) =
                fault(&|directory| change(&directory.join(&signature), "trusted comment: f", "f"));
            assert!(of == name && matches!(found, SignatureFault::Damaged(_)), "{found}");
            let (of, found) =
                fault(&|directory| std::fs::write(directory.join(&signature), [0xff; 300]).unwrap());
            assert!(of == name && matches!(found, SignatureFault::Damaged(_)), "{found}");
            let (of, found) = fault(&|directory| change(&directory.join(name), "smb", "smB"));
            assert!(of == name && matches!(found, SignatureFault::Changed(_)), "{found}");
            let (of, found) = fault(&|directory| {
                let other = key(directory, "other");
                let content = std::fs::read(directory.join(name)).unwrap();
                let text = crate::sign::Signature::make(&other, &content, "").to_text();
                std::fs::write(directory.join(&signature), text).unwrap();
            });
            assert!(of == name && matches!(found, SignatureFault::WrongKey { .. }), "{found}");
        }
        let (of, found) = fault(&|directory| {
            std::fs::write(directory.join("smb-gateway-t_1_amd64.sbom.cdx.json"), "{}").unwrap();
        });
        assert!(of == "SHA256SUMS" && matches!(found, SignatureFault::NotListed(_)), "{found}");
        let (of, _) = fault(&|directory| std::fs::remove_file(directory.join("SHA256SUMS")).unwrap());
        assert_eq!(of, "SHA256SUMS");
    }

    #[test]
    fn checksums_beside_it_count() {
        let directory = tempfile::tempdir().unwrap();
        let path = template(directory.path());
        let manifest = directory.path().join("smb-gateway-t_1_amd64.manifest.json");
        std::fs::write(&manifest, std::fs::read_to_string(&manifest).unwrap() + "\n").unwrap();
        assert!(verify(&path, None).unwrap_err().to_string().contains("SHA256SUMS"));
    }
}
