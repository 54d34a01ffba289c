//! Which package a path belongs to, from dpkg's lists in a tree or in a finished template.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use crate::disk;
use crate::error::Error;
use crate::form::Form;
use crate::manifest::Manifest;
use crate::outputs::Names;
use crate::qcow2;
use crate::tree::{self, Kind, Tree};

/// Where dpkg keeps the list of each package's paths.
const LISTS: &str = "/var/lib/dpkg/info";

/// More bytes than all lists of a template have together: a forged one cannot fill the memory.
const MOST: u64 = 16 << 20;

/// The package of each path.
#[derive(Debug, Clone, Default)]
pub struct Owners(HashMap<String, String>);

/// One of dpkg's lists: its file name, `PACKAGE.list` or `PACKAGE:ARCHITECTURE.list`, and its text, one absolute path a line.
type List = (String, String);

impl Owners {
    /// Of a tree.
    pub fn of_tree(tree: &Tree) -> Self {
        let list = |path: &str| {
            let name = path.strip_prefix(LISTS)?.strip_prefix('/').filter(|name| name.ends_with(".list"))?;
            Some((name.to_owned(), tree.text(path)?.to_owned()))
        };
        Self::of_lists(tree.under(LISTS).filter_map(list))
    }

    /// Of a finished template.
    ///
    /// # Errors
    /// [`Error::NotIntact`], [`Error::Io`].
    pub fn of_template(path: &Path, manifest: &Manifest) -> Result<Self, Error> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match Names::of_archive(&name).map(|names| names.form()) {
            Some(Form::Machine) => on_disk(path, manifest),
            _ => in_tar(path),
        }
        .map(Self::of_lists)
    }

    fn of_lists(lists: impl IntoIterator<Item = List>) -> Self {
        let mut owners = HashMap::new();
        for (name, text) in lists {
            let package = name.trim_end_matches(".list");
            let package = package.split(':').next().unwrap_or(package);
            // packages of Debian 12 list /lib where the tree has /usr/lib
            let real = |line: &str| match line.split('/').nth(1) {
                Some("bin" | "sbin" | "lib" | "lib64") => format!("/usr{line}"),
                _ => line.to_owned(),
            };
            owners.extend(text.lines().map(|line| (real(line), package.to_owned())));
        }
        Self(owners)
    }

    /// The package that brought a path.
    pub fn of(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }
}

impl FromIterator<(String, String)> for Owners {
    /// From each path and its package.
    fn from_iter<T: IntoIterator<Item = (String, String)>>(pairs: T) -> Self {
        Self(pairs.into_iter().collect())
    }
}

fn in_tar(template: &Path) -> Result<Vec<List>, Error> {
    let broken = |detail: String| Error::NotIntact { path: template.to_owned(), detail };
    let file = File::open(template).map_err(Error::io("reading", template))?;
    let decoder = zstd::Decoder::new(file).map_err(|error| broken(error.to_string()))?;
    let (mut lists, mut room) = (Vec::new(), MOST);
    tree::read_entries(BufReader::with_capacity(1 << 20, decoder), |path, entry, content| {
        let name = path.strip_prefix(LISTS).and_then(|rest| rest.strip_prefix('/'));
        if let (Some(name), Kind::File(_)) = (name.filter(|name| name.ends_with(".list")), &entry.kind) {
            let mut text = Vec::new();
            let count =
                content.take(room + 1).read_to_end(&mut text).map_err(|error| broken(error.to_string()))?;
            room = room.checked_sub(count as u64).ok_or_else(|| broken(format!("{path} is too large")))?;
            lists.push((name.to_owned(), String::from_utf8_lossy(&text).into_owned()));
        }
        Ok(())
    })
    .map_err(|error| match error {
        Error::Tree(detail) => broken(detail),
        other => other,
    })?;
    Ok(lists)
}

fn on_disk(template: &Path, manifest: &Manifest) -> Result<Vec<List>, Error> {
    let broken = |detail: String| Error::NotIntact { path: template.to_owned(), detail };
    let image = qcow2::Image::open(template).map_err(|error| broken(error.to_string()))?;
    let root = manifest.disk.as_ref().and_then(|disk| disk.root());
    let root = root.ok_or_else(|| broken("its manifest names no root partition".into()))?;
    let system = disk::open_ext4(&image, root.offset).map_err(broken)?;
    let files = disk::ext4_files_in(&system, LISTS, ".list", MOST).map_err(broken)?;
    let text = |text: Vec<u8>| String::from_utf8_lossy(&text).into_owned();
    Ok(files.into_iter().map(|(name, list)| (name, text(list))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tarball::{self, Level};
    use crate::tree::Entry;

    fn template(lists: &[(&str, Vec<u8>)]) -> tempfile::NamedTempFile {
        let mut tree = Tree::default();
        for (path, text) in lists {
            tree.put(path, Entry::file(text.clone())).unwrap();
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        tarball::write(&tree, file.path(), Level::Quick, &smbgw_command::Interrupt::new()).unwrap();
        file
    }

    #[test]
    fn lists_of_a_tar() {
        let file = template(&[
            ("/var/lib/dpkg/info/acl.list", b"/bin/getfacl\n".to_vec()),
            ("/var/lib/dpkg/info/libc6:amd64.list", b"/lib/x\n".to_vec()),
            ("/var/lib/dpkg/info/acl.md5sums", b"/other\n".to_vec()),
            ("/srv/var/lib/dpkg/info/evil.list", b"/evil\n".to_vec()),
        ]);
        let owners = Owners::of_lists(in_tar(file.path()).unwrap());
        assert_eq!(owners.of("/usr/bin/getfacl"), Some("acl"));
        assert_eq!(owners.of("/usr/lib/x"), Some("libc6"));
        assert_eq!((owners.of("/other"), owners.of("/evil")), (None, None));
    }

    #[test]
    fn a_forged_list_does_not_fill_the_memory() {
        let half = vec![b'x'; (MOST / 2) as usize + 1];
        let list = |name: &str| format!("{LISTS}/{name}.list");
        let (one, two) = (list("a"), list("b"));
        in_tar(template(&[(&one, half.clone())]).path()).unwrap();
        let told = in_tar(template(&[(&one, half.clone()), (&two, half)]).path()).unwrap_err();
        assert!(told.to_string().contains("b.list is too large"), "{told}");
    }
}
