//! `/proc/self/mountinfo` (proc(5)): what is mounted, without asking any file system.

use crate::error::{Doing, Result};
use crate::paths::Paths;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Device of the file system, as `254:16`.
    pub(crate) device: String,
    /// What of the file system is mounted, as `/` or `/team`.
    pub(crate) root: String,
    /// Where.
    pub(crate) at: String,
    /// Type, as `ext4`.
    pub(crate) kind: String,
    /// Source: a device, a virtio-fs tag.
    pub(crate) source: String,
    /// The file system itself does not take writes.
    pub(crate) read_only: bool,
}

/// All mounts that the agent sees, in the order they were made.
pub(crate) fn read(paths: &Paths) -> Result<Vec<Entry>> {
    let path = paths.proc().join("self/mountinfo");
    let text = crate::files::read_optional(&path).doing(|| format!("reading {}", path.display()))?;
    Ok(text.as_deref().map(parse).unwrap_or_default())
}

/// What is seen at a path: the mount that was made there last.
pub(crate) fn at<'a>(mounts: &'a [Entry], path: &str) -> Option<&'a Entry> {
    mounts.iter().rev().find(|mount| mount.at == path)
}

/// Lines of an unknown form are left out.
fn parse(text: &str) -> Vec<Entry> {
    text.lines().filter_map(line).collect()
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`; the fields between the sixth and
/// the dash are optional.
fn line(line: &str) -> Option<Entry> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(2);
    let (device, root, at) = (mount.next()?, mount.next()?, mount.next()?);
    let mut file_system = file_system.split(' ');
    let (kind, source) = (file_system.next()?, file_system.next()?);
    let read_only = file_system.next().is_some_and(|options| options.split(',').any(|option| option == "ro"));
    Some(Entry {
        device: device.to_owned(),
        root: plain(root),
        at: plain(at),
        kind: kind.to_owned(),
        source: plain(source),
        read_only,
    })
}

/// Undoes the kernel's `\040` for space, tab, newline and backslash.
fn plain(text: &str) -> String {
    let mut out = text.to_owned();
    // the backslash last, else it would make new escapes
    for (code, char) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        out = out.replace(code, char);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_and_without_optional_fields() {
        let text = "36 35 254:16 / /var/lib/smbgw/disk rw,nosuid shared:7 master:1 - ext4 /dev/vdb rw\n\
                    37 35 254:16 /a\\040b /srv/smb/A\\040b rw - ext4 /dev/vdb ro,errors=remount-ro\n\
                    38 35 0:50 / /srv/smb/x rw shared:9 - virtiofs smbgw-0011 rw\n\
                    garbage\n";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 3);
        assert_eq!((mounts[0].kind.as_str(), mounts[0].read_only), ("ext4", false));
        assert_eq!((mounts[1].root.as_str(), mounts[1].at.as_str()), ("/a b", "/srv/smb/A b"));
        assert!(mounts[1].read_only);
        assert_eq!(at(&mounts, "/srv/smb/x").unwrap().source, "smbgw-0011");
        assert!(at(&mounts, "/srv/smb").is_none());
    }

    #[test]
    fn this_machine_has_mounts() {
        assert!(at(&read(&Paths::system()).unwrap(), "/proc").is_some());
    }
}
