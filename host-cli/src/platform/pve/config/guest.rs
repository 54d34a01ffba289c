//! A guest's configuration file, `ID.conf` (PVE 8.4 and 9.2, pct.conf(5) and qm.conf(5)): lines `key: value`, a description as
//! leading `#` lines, and sections for snapshots and pending changes behind. Pure.

/// A configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestConfig {
    /// What the web interface shows as notes.
    pub description: String,
    /// Keys and values of what holds now, `lxc.` keys among them.
    pub entries: Vec<(String, String)>,
    /// Keys and values of snapshots and of what waits for a restart.
    pub others: Vec<(String, String)>,
}

impl GuestConfig {
    /// Reads a file. Lines that are no keys are skipped, as Proxmox VE skips them.
    pub fn parse(text: &str) -> Self {
        let mut config = Self::default();
        let mut now = true;
        let mut description = Vec::new();
        for line in text.lines() {
            let line = line.trim_end();
            if line.starts_with('[') {
                now = false;
            } else if let Some(comment) = line.strip_prefix('#') {
                if now {
                    description.push(decode(comment));
                }
            } else if let Some((key, value)) = split(line) {
                if key == "description" && now {
                    description.push(decode(value));
                } else if now {
                    config.entries.push((key.to_owned(), value.to_owned()));
                } else {
                    config.others.push((key.to_owned(), value.to_owned()));
                }
            }
        }
        config.description = description.join("\n");
        config
    }

    /// Value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Keys of a family with their number, as `mp0`, `mp1`.
    pub fn family<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (u32, &'a str)> {
        numbered(&self.entries, prefix)
    }

    /// Whether it has a tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.get("tags").is_some_and(|tags| tags.split([';', ',', ' ']).any(|one| one == tag))
    }

    /// Whether a task holds it, and which one: `create`, `clone`, `backup` and so on.
    pub fn lock(&self) -> Option<&str> {
        self.get("lock")
    }

    /// All values that may name a volume, now, pending or in snapshots, with their keys.
    pub fn volumes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().chain(&self.others).filter_map(|(key, value)| {
            let family = key.trim_end_matches(|c: char| c.is_ascii_digit());
            let known =
                ["rootfs", "mp", "unused", "scsi", "virtio", "ide", "sata", "efidisk", "tpmstate", "vmstate"];
            let first = value.split(',').next().unwrap_or_default();
            let volume = first.split_once('=').map_or(first, |(_, volume)| volume);
            known.contains(&family).then_some((key.as_str(), volume))
        })
    }
}

fn numbered<'a>(entries: &'a [(String, String)], prefix: &'a str) -> impl Iterator<Item = (u32, &'a str)> {
    entries
        .iter()
        .filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?.parse().ok()?, value.as_str())))
}

/// `key: value`, or of raw keys also `key = value`.
fn split(line: &str) -> Option<(&str, &str)> {
    let end = line.find(|c: char| c == ':' || c == '=' || c.is_whitespace())?;
    let (key, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let value =
        rest.strip_prefix(':').or_else(|| rest.strip_prefix('=').filter(|_| key.starts_with("lxc.")))?;
    let good = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    good.then_some((key, value.trim()))
}

/// Text in which Proxmox VE wrote some characters as `%3A`.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = code.filter(|_| first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The text with other raw lines of ours: those that `is_ours` are taken out, and the wanted ones put behind what holds now.
/// Raw lines have to stand before the first section, or they are part of a snapshot.
pub fn with_raw(text: &str, is_ours: impl Fn(&str, &str) -> bool, wanted: &[(String, String)]) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let end = lines.iter().position(|line| line.starts_with('[')).unwrap_or(lines.len());
    let kept =
        lines[..end].iter().filter(|line| !split(line).is_some_and(|(key, value)| is_ours(key, value)));
    let mut head: Vec<String> = kept.map(|line| (*line).to_owned()).collect();
    while head.last().is_some_and(|line| line.trim().is_empty()) {
        head.pop();
    }
    head.extend(wanted.iter().map(|(key, value)| format!("{key}: {value}")));
    if end < lines.len() {
        head.push(String::new());
    }
    let mut text: String = head.iter().map(|line| format!("{line}\n")).collect();
    text.extend(lines[end..].iter().map(|line| format!("{line}\n")));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "#pve-smbgateway%3A team\n#a second %C3%A4 line\narch: amd64\nhostname: team\nlock: create\n\
        mp0: /tank/a b,mp=/srv/smb/team,replicate=0\nmp2: local:101/vm-101-disk-1.raw,mp=/x\n\
        rootfs: local:101/vm-101-disk-0.raw,size=4G\ntags: a;smbgateway\nunused0: ceph:vm-9-disk-1\n\
        lxc.mount.entry: /x srv/y none bind 0 0\nlxc.cap.drop = sys_admin\n\n[pve:pending]\ndelete: mp0\n\n[snap]\nrootfs: local:101/vm-101-disk-0.raw\n";

    #[test]
    fn a_configuration() {
        let config = GuestConfig::parse(TEXT);
        assert_eq!(config.description, "pve-smbgateway: team\na second ä line");
        assert_eq!((config.get("hostname"), config.lock()), (Some("team"), Some("create")));
        assert_eq!(config.get("lxc.cap.drop"), Some("sys_admin"));
        assert!(config.has_tag("smbgateway") && !config.has_tag("smb"));
        assert_eq!(config.family("mp").map(|(number, _)| number).collect::<Vec<_>>(), [0, 2]);
        let volumes: Vec<_> = config.volumes().collect();
        assert_eq!(
            volumes,
            [
                ("mp0", "/tank/a b"),
                ("mp2", "local:101/vm-101-disk-1.raw"),
                ("rootfs", "local:101/vm-101-disk-0.raw"),
                ("unused0", "ceph:vm-9-disk-1"),
                ("rootfs", "local:101/vm-101-disk-0.raw"),
            ]
        );
    }

    #[test]
    fn raw_lines_stand_before_the_first_section() {
        let ours = |key: &str, value: &str| key == "lxc.mount.entry" && value.contains(" srv/");
        let wanted = [("lxc.mount.entry".to_owned(), "/new srv/z none bind 0 0".to_owned())];
        let once = with_raw(TEXT, ours, &wanted);
        assert!(
            once.contains("sys_admin\nlxc.mount.entry: /new srv/z none bind 0 0\n\n[pve:pending]\n"),
            "{once}"
        );
        assert!(!once.contains("/x srv/y"));
        assert_eq!(with_raw(&once, ours, &wanted), once);
        assert_eq!(
            with_raw("arch: amd64\n", ours, &wanted),
            "arch: amd64\nlxc.mount.entry: /new srv/z none bind 0 0\n"
        );
    }

    proptest! {
        #[test]
        fn editing_twice_is_editing_once(text in "[a-c:=\\[\\]# \\n.]{0,80}") {
            let wanted = [("lxc.a".to_owned(), "1".to_owned())];
            let once = with_raw(&text, |key, _| key == "lxc.a", &wanted);
            prop_assert_eq!(with_raw(&once, |key, _| key == "lxc.a", &wanted), once.clone());
            let config = GuestConfig::parse(&once);
            prop_assert_eq!(config.get("lxc.a"), Some("1"));
        }

        #[test]
        fn never_panics(text in "\\PC{0,200}") {
            let config = GuestConfig::parse(&text);
            let _ = config.volumes().count();
        }
    }
}
