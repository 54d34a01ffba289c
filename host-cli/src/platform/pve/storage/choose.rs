//! Which storage something goes to. Pure.

use smbgw_api::StorageId;

use super::settings::missing;
use crate::platform::pve::answer::Storage;
use crate::{Error, Result};

/// Those that an installer of Proxmox VE makes for guests' disks; `local` comes last.
const FIRST: [&str; 2] = ["local-zfs", "local-lvm"];
const LAST: &str = "local";

/// A storage for this content (`rootdir`, `images`, `vztmpl`): the one that is named, or the first that can have it.
///
/// # Errors
/// Codes `storage-missing`, `storage-inactive`, `storage-content`.
pub fn choose(all: &[Storage], wanted: Option<&StorageId>, content: &str) -> Result<StorageId> {
    if let Some(wanted) = wanted {
        let storage = all.iter().find(|one| one.storage == wanted.as_str());
        return check(storage.ok_or_else(|| missing(wanted.as_str()))?, content).map(|()| wanted.clone());
    }
    let mut able: Vec<_> = all.iter().filter(|one| check(one, content).is_ok()).collect();
    able.sort_by_key(|one| {
        let place = FIRST.iter().position(|first| *first == one.storage);
        (place.unwrap_or(FIRST.len()), one.storage == LAST, one.storage.clone())
    });
    // archives are small and of this node: where the installer puts those of Proxmox VE as well
    let local = able.iter().find(|one| content == "vztmpl" && one.storage == LAST);
    match local.or_else(|| able.first()) {
        Some(storage) => Ok(StorageId::parse(&storage.storage)?),
        None => Err(Error::resource(
            "storage-content",
            format!("no active storage of this node may hold {content}"),
        )
        .hint(format!(
            "let one: `pvesm set STORAGE --content …,{content}`; `pvesm status` shows those there are"
        ))),
    }
}

/// Whether a storage can have this content now.
///
/// # Errors
/// Codes `storage-inactive`, `storage-content`.
pub fn check(storage: &Storage, content: &str) -> Result<()> {
    let name = &storage.storage;
    if !storage.is_active() {
        return Err(Error::infrastructure("storage-inactive", format!("storage {name} cannot be used now"))
            .hint("`pvesm status` says how it is; is it switched off, or its server away?"));
    }
    if !storage.holds(content) {
        return Err(Error::usage(
            "storage-content",
            format!("storage {name} may not hold {content}, only {}", storage.content),
        )
        .hint(format!("allow it: pvesm set {name} --content {},{content}", storage.content)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage(name: &str, content: &str, active: u64) -> Storage {
        let json = format!(r#"{{"storage":"{name}","type":"dir","content":"{content}","active":{active}}}"#);
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn the_installers_storages_come_first_and_local_last() {
        let mut all = vec![
            storage("local", "rootdir,images,vztmpl", 1),
            storage("zz", "rootdir,vztmpl", 1),
            storage("aa", "rootdir", 1),
            storage("local-lvm", "rootdir,images", 1),
            storage("local-zfs", "rootdir", 0),
        ];
        let chosen = |all: &[Storage], content: &str| choose(all, None, content).unwrap().to_string();
        assert_eq!(chosen(&all, "rootdir"), "local-lvm");
        assert_eq!(chosen(&all, "vztmpl"), "local");
        all.remove(3);
        assert_eq!(chosen(&all, "rootdir"), "aa");
        assert_eq!(chosen(&all, "images"), "local");
    }

    #[test]
    fn each_reason_has_its_code() {
        let all = [storage("local", "iso", 1), storage("off", "rootdir", 0)];
        for (wanted, code) in [
            (None, "storage-content"),
            (Some("local"), "storage-content"),
            (Some("off"), "storage-inactive"),
            (Some("none"), "storage-missing"),
        ] {
            let wanted = wanted.map(|name| StorageId::parse(name).unwrap());
            let error = choose(&all, wanted.as_ref(), "rootdir").unwrap_err();
            assert_eq!(error.code, code);
            assert!(error.hint.is_some());
        }
    }
}
