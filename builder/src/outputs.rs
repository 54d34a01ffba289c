//! The files of a template: named, written aside, and put in place together at the end.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::checksums::{self, Checksums};
use crate::error::Error;
use crate::form::Form;
use crate::hash;
use crate::sign::{self, SecretKey, Signature};
use crate::workdir::WorkDir;

/// The names of a template's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    base: String,
    form: Form,
}

impl Names {
    /// `smb-gateway-debian-13_0.1.0_amd64`. Proxmox takes name, version and architecture from between the underscores.
    pub fn new(template: &str, version: &str, architecture: &str, form: Form) -> Self {
        Self { base: format!("smb-gateway-{template}_{version}_{architecture}"), form }
    }

    /// The names that belong to a `.tar.zst` or `.qcow2`, if it is called that.
    pub fn of_archive(file_name: &str) -> Option<Self> {
        [Form::Container, Form::Machine].into_iter().find_map(|form| {
            let base = file_name.strip_suffix(archive_suffix(form))?.to_owned();
            Some(Self { base, form })
        })
    }

    /// What the template is for.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The template itself.
    pub fn archive(&self) -> String {
        format!("{}{}", self.base, archive_suffix(self.form))
    }

    /// The tar in a container's template.
    pub fn tar(&self) -> String {
        format!("{}.tar", self.base)
    }

    /// The manifest.
    pub fn manifest(&self) -> String {
        self.beside("manifest.json")
    }

    /// The bill of materials in CycloneDX.
    pub fn sbom(&self) -> String {
        self.beside("sbom.cdx.json")
    }

    /// The bill of materials in SPDX.
    pub fn sbom_spdx(&self) -> String {
        self.beside("sbom.spdx.json")
    }

    fn beside(&self, what: &str) -> String {
        match self.form {
            Form::Container => format!("{}.{what}", self.base),
            Form::Machine => format!("{}.vm.{what}", self.base),
        }
    }
}

fn archive_suffix(form: Form) -> &'static str {
    match form {
        Form::Container => ".tar.zst",
        Form::Machine => ".qcow2",
    }
}

/// What changed in a directory besides the files that were put there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// Signatures of what was there before, which are gone: they would fit nothing.
    pub dropped: Vec<String>,
    /// Files of earlier builds that `SHA256SUMS` lists, too.
    pub also_listed: Vec<String>,
}

/// Files that are written but not yet in place.
pub struct Staging {
    directory: WorkDir,
    out: PathBuf,
}

impl Staging {
    /// Makes the output directory and a place in it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(out: &Path) -> Result<Self, Error> {
        fs::create_dir_all(out).map_err(Error::io("making", out))?;
        Ok(Self { directory: WorkDir::create_in(out)?, out: out.to_owned() })
    }

    /// Where to write a file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes a small file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.path(name);
        fs::write(&path, text).map_err(Error::io("writing", path))
    }

    /// Signs a file that is written, beside it. The comment is part of what is signed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sign(&self, name: &str, key: &SecretKey, comment: &str) -> Result<(), Error> {
        let path = self.path(name);
        let content = fs::read(&path).map_err(Error::io("reading", &path))?;
        let comment = format!("file:{name} {comment}");
        self.write(&sign::name_of(name), &Signature::make(key, &content, comment.trim_end()).to_text())
    }

    /// Puts the files in place, each with its signature if it was signed, and brings `SHA256SUMS` up to date, which the key signs. Under a
    /// lock, so that builds may share a directory. At no time is there a signature that does not fit the file beside it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn commit(self, names: &[String], key: Option<&SecretKey>) -> Result<Committed, Error> {
        let directory = fs::File::open(&self.out).map_err(Error::io("opening", &self.out))?;
        rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|errno| Error::io("locking", &self.out)(errno.into()))?;
        let mut sums = Checksums::load(&self.out)?;
        sums.retain(|name| self.out.join(name).is_file());
        let also_listed =
            sums.names().filter(|name| !names.iter().any(|new| new == name)).map(str::to_owned).collect();
        for name in names {
            let path = self.path(name);
            let (sha256, _) = hash::of_file(&path).map_err(Error::io("reading", &path))?;
            sums.set(name, &sha256);
        }
        let sums_path = self.path(checksums::NAME);
        let write = || {
            let mut file = fs::File::create(&sums_path)?;
            file.write_all(sums.to_text().as_bytes())?;
            file.sync_data()
        };
        write().map_err(Error::io("writing", &sums_path))?;
        if let Some(key) = key {
            self.sign(checksums::NAME, key, "")?;
        }
        let all = || names.iter().map(String::as_str).chain([checksums::NAME]);
        let signatures: Vec<String> = all().map(sign::name_of).collect();
        let old = self.remove(&signatures)?;
        for (name, signature) in all().zip(&signatures) {
            self.put_in_place(name)?;
            if self.path(signature).exists() {
                self.put_in_place(signature)?;
            }
        }
        let dropped = old.into_iter().filter(|name| !self.out.join(name).exists()).collect();
        Ok(Committed { dropped, also_listed })
    }

    fn put_in_place(&self, name: &str) -> Result<(), Error> {
        let target = self.out.join(name);
        fs::rename(self.path(name), &target).map_err(Error::io("putting in place", target))
    }

    /// Removes these from the output directory, and gives those that were there.
    fn remove(&self, names: &[String]) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        for name in names {
            let path = self.out.join(name);
            match fs::remove_file(&path) {
                Ok(()) => found.push(name.clone()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("removing", path)(error)),
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_has_names_of_its_own() {
        let names = |form| Names::new("debian-13", "1", "amd64", form);
        let (container, machine) = (names(Form::Container), names(Form::Machine));
        assert_eq!(container.manifest(), "smb-gateway-debian-13_1_amd64.manifest.json");
        assert_eq!(machine.archive(), "smb-gateway-debian-13_1_amd64.qcow2");
        assert_eq!(machine.sbom(), "smb-gateway-debian-13_1_amd64.vm.sbom.cdx.json");
        assert_eq!(container.sbom_spdx(), "smb-gateway-debian-13_1_amd64.sbom.spdx.json");
        for names in [container, machine] {
            assert_eq!(Names::of_archive(&names.archive()), Some(names));
        }
        assert_eq!(Names::of_archive("x.raw"), None);
    }

    #[test]
    fn several_templates_share_one_list_of_checksums() {
        let out = tempfile::tempdir().unwrap();
        for name in ["a.tar.zst", "b.tar.zst"] {
            let staging = Staging::create(out.path()).unwrap();
            staging.write(name, name).unwrap();
            staging.commit(&[name.into()], None).unwrap();
        }
        let sums = Checksums::load(out.path()).unwrap();
        assert_eq!(sums.get("a.tar.zst"), Some(hash::of_bytes(b"a.tar.zst").as_str()));
        assert!(sums.get("b.tar.zst").is_some());
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 3, "nothing but the files");
    }

    /// Signs and commits a file, or only commits it.
    fn put(out: &Path, name: &str, text: &str, key: Option<&SecretKey>) -> Committed {
        let staging = Staging::create(out).unwrap();
        staging.write(name, text).unwrap();
        if let Some(key) = key {
            staging.sign(name, key, "").unwrap();
        }
        staging.commit(&[name.into()], key).unwrap()
    }

    #[test]
    fn no_signature_stays_that_does_not_fit() {
        let (out, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = sign::KeyFile { key: elsewhere.path().join("key"), password: None };
        let public = file.create().unwrap().public;
        let key = file.load().unwrap();
        let fits = |name: &str| {
            let read = |name: &str| fs::read_to_string(out.path().join(name)).ok();
            let signature = Signature::parse(&read(&sign::name_of(name))?).unwrap();
            Some(signature.check(&public, read(name).unwrap().as_bytes()).is_ok())
        };
        assert_eq!(put(out.path(), "a.manifest.json", "1", Some(&key)), Committed::default());
        let second = put(out.path(), "b.manifest.json", "1", Some(&key));
        assert_eq!(second, Committed { dropped: vec![], also_listed: vec!["a.manifest.json".into()] });
        for name in ["a.manifest.json", "b.manifest.json", checksums::NAME] {
            assert_eq!(fits(name), Some(true), "{name}");
        }
        assert!(Checksums::load(out.path()).unwrap().names().eq(["a.manifest.json", "b.manifest.json"]));
        // signed anew: the old signature makes room for one that fits
        put(out.path(), "b.manifest.json", "2", Some(&key));
        assert_eq!((fits("b.manifest.json"), fits(checksums::NAME)), (Some(true), Some(true)));
        // not signed: what is replaced loses its signature, and so does the list; the other template keeps its own
        let unsigned = put(out.path(), "b.manifest.json", "3", None);
        assert_eq!(unsigned.dropped, ["b.manifest.json.minisig", "SHA256SUMS.minisig"]);
        assert_eq!(
            (fits("a.manifest.json"), fits("b.manifest.json"), fits(checksums::NAME)),
            (Some(true), None, None)
        );
    }

    #[test]
    fn what_is_not_committed_is_never_seen() {
        let out = tempfile::tempdir().unwrap();
        let staging = Staging::create(out.path()).unwrap();
        staging.write("a.tar.zst", "half").unwrap();
        drop(staging);
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
    }
}
