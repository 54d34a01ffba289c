//! Directories that storages have for shares: finding them, making them when that is asked for, taking back what was made.

use std::path::Path;

use smbgw_api::{GatewaySpec, HostPath, Location, Mode, StoragePlace};

use super::choose;
use super::settings::{self, Directory, Settings, missing};
use crate::platform::pve::Pve;
use crate::platform::pve::call::node::{TICKET, ZfsCreate, ZfsDestroy, ZfsGet};
use crate::{Error, Result, durable};

impl Pve {
    /// Notes in the spec where its storages have their directories.
    pub(in super::super) fn locate_places(&self, spec: &mut GatewaySpec) -> Result<()> {
        if !spec.shares.iter().any(|share| matches!(share.location, Location::Storage(_))) {
            return Ok(());
        }
        let all = self.settings()?;
        let mode = spec.mode;
        for share in &mut spec.shares {
            let Location::Storage(place) = &mut share.location else { continue };
            let directory = settings::find(&all, &place.storage)?.directory(&place.dataset)?;
            self.require_usable(&all, place, mode)?;
            let path = match directory {
                Directory::Plain(path) => path,
                Directory::Dataset { name, path } => self.mounted(&name, path, place)?,
            };
            place.path = Some(HostPath::parse(&path)?);
        }
        Ok(())
    }

    /// A storage that can be used here and now, and in this mode.
    fn require_usable(&self, all: &[Settings], place: &StoragePlace, mode: Mode) -> Result<()> {
        let storage = settings::find(all, &place.storage)?;
        if storage.is_remote_files() && mode != Mode::Vm {
            return Err(Error::usage(
                "storage-unsuitable",
                format!(
                    "storage {} ({}) cannot do idmapped mounts, which a container needs",
                    storage.id(),
                    storage.kind()
                ),
            )
            .hint(
                "use one of type zfspool, dir, btrfs or cephfs; or --mode vm, with what ACLs the server has",
            ));
        }
        if !storage.is_on(&self.files.node()?) {
            return Err(Error::usage(
                "storage-unsuitable",
                format!("storage {} is not for this node", storage.id()),
            )
            .hint("`pvesm status` shows those that are"));
        }
        let now = self.storages()?.iter().find(|one| one.storage == storage.id());
        match now {
            Some(now) if now.is_active() => Ok(()),
            // what it may hold does not matter: shares are not Proxmox VE's content
            Some(now) => choose::check(now, ""),
            None => Err(missing(storage.id())),
        }
    }

    /// Where a dataset is mounted; where it will be, when it is to be made.
    fn mounted(&self, dataset: &str, expected: String, place: &StoragePlace) -> Result<String> {
        let get = ZfsGet { dataset: dataset.to_owned(), properties: vec!["mountpoint", "mounted"] };
        let output = self.call("looking at the dataset", get)?;
        if output.code != 0 {
            // without --create-dataset its absence is an error where the directory is looked at
            return Ok(expected);
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        match text.lines().map(str::trim).collect::<Vec<_>>()[..] {
            [path, "yes"] if path.starts_with('/') => Ok(path.to_owned()),
            _ => Err(Error::infrastructure(
                "storage-inactive",
                format!("the dataset {dataset} of storage {} is not mounted", place.storage),
            )
            .hint(format!("zfs set mountpoint={expected} {dataset}; zfs mount {dataset}"))),
        }
    }

    fn directory_of(&self, place: &StoragePlace) -> Result<Directory> {
        settings::find(&self.settings()?, &place.storage)?.directory(&place.dataset)
    }

    pub(in super::super) fn make_directory(&self, place: &StoragePlace, ticket: &str) -> Result<()> {
        match self.directory_of(place)? {
            Directory::Plain(path) => {
                let path = Path::new(&path);
                if path.is_dir() {
                    return Ok(());
                }
                durable::make_directory(path, 0o755)
            }
            Directory::Dataset { name, .. } => {
                if self.ticket_of(&name)?.is_some() {
                    return Ok(());
                }
                self.call("making the dataset", ZfsCreate { dataset: name, ticket: ticket.to_owned() })?;
                Ok(())
            }
        }
    }

    /// Nothing that has something in it is removed: what is in it is somebody's.
    pub(in super::super) fn remove_directory(&self, place: &StoragePlace, ticket: &str) -> Result<()> {
        let path = place.path.as_ref().map_or("", HostPath::as_str);
        match self.directory_of(place)? {
            // rmdir(2) refuses what is not empty
            Directory::Plain(path) => {
                let _ = std::fs::remove_dir(path);
                Ok(())
            }
            Directory::Dataset { name, .. } => {
                let ours = self.ticket_of(&name)?.is_some_and(|known| known == ticket);
                let empty = std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
                if ours && empty {
                    self.call("removing the dataset", ZfsDestroy { dataset: name })?;
                }
                Ok(())
            }
        }
    }

    /// Which operation made a dataset; nothing when there is no such dataset.
    fn ticket_of(&self, dataset: &str) -> Result<Option<String>> {
        let get = ZfsGet { dataset: dataset.to_owned(), properties: vec![TICKET] };
        let output = self.call("looking at the dataset", get)?;
        Ok((output.code == 0).then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned()))
    }
}
