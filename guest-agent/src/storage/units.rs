//! Unit files of ours below `/etc/systemd/system`. PID 1 sees a change after [`crate::services::Services::reload`].

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::symlink;

use super::mount::HEADER;
use crate::error::{Doing, Result};
use crate::files;
use crate::paths::Paths;

/// A unit file of ours that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Content.
    pub(crate) text: String,
    /// Whether it comes up at boot.
    pub(crate) enabled: bool,
}

/// All of ours, by name.
pub(crate) fn read(paths: &Paths) -> Result<BTreeMap<String, Unit>> {
    let directory = paths.units();
    let doing = || format!("reading {}", directory.display());
    let entries = match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        other => other.doing(doing)?,
    };
    let mut units = BTreeMap::new();
    for entry in entries {
        let entry = entry.doing(doing)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // a masked unit is a link to /dev/null
        if !name.ends_with(".mount") || !entry.file_type().doing(doing)?.is_file() {
            continue;
        }
        let text = files::read_optional(&entry.path()).doing(|| format!("reading {name}"))?;
        if let Some(text) = text.filter(|text| text.starts_with(HEADER)) {
            let enabled = paths.unit_wanted(&name).symlink_metadata().is_ok();
            units.insert(name, Unit { text, enabled });
        }
    }
    Ok(units)
}

/// Where a unit of ours mounts.
pub(crate) fn mount_point(text: &str) -> Option<String> {
    Some(text.lines().find_map(|line| line.strip_prefix("Where="))?.replace("%%", "%"))
}

/// Writes and enables one, as `systemctl enable` does by its `[Install]` section.
pub(crate) fn write(paths: &Paths, name: &str, text: &str) -> Result<()> {
    let (path, wanted) = (paths.unit(name), paths.unit_wanted(name));
    files::replace(&path, text.as_bytes(), 0o644).doing(|| format!("writing {}", path.display()))?;
    std::fs::create_dir_all(crate::paths::parent(&wanted)).doing(|| format!("enabling {name}"))?;
    match symlink(format!("../{name}"), &wanted) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.doing(|| format!("enabling {name}")),
    }
}

/// Disables and removes one.
pub(crate) fn remove(paths: &Paths, name: &str) -> Result<()> {
    files::remove(&paths.unit_wanted(name)).doing(|| format!("disabling {name}"))?;
    files::remove(&paths.unit(name)).doing(|| format!("removing {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ours_are_seen() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::below(root.path());
        assert!(read(&paths).unwrap().is_empty());
        std::fs::create_dir_all(paths.units()).unwrap();
        std::fs::write(paths.unit("tmp.mount"), "[Mount]\nWhere=/tmp\n").unwrap();
        symlink("/dev/null", paths.unit("dev-hugepages.mount")).unwrap();
        let text = format!("{HEADER}[Mount]\nWhere=/srv/smb/100%%\n");
        for _ in 0..2 {
            write(&paths, "srv-smb-x.mount", &text).unwrap();
        }
        let units = read(&paths).unwrap();
        assert_eq!(units.keys().collect::<Vec<_>>(), ["srv-smb-x.mount"]);
        assert!(units["srv-smb-x.mount"].enabled);
        assert_eq!(mount_point(&text).unwrap(), "/srv/smb/100%");
        remove(&paths, "srv-smb-x.mount").unwrap();
        remove(&paths, "srv-smb-x.mount").unwrap();
        assert!(read(&paths).unwrap().is_empty() && paths.unit("tmp.mount").exists());
    }
}
