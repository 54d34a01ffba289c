//! Logons that failed, by what smbd writes to its log (smb.conf(5), `log level`, class `auth_json_audit`). Only counts are kept.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use smbgw_api::v1::FailedLogons;

use crate::paths::Paths;

/// Read at once at most; smbd begins a new file long before.
const MAX: u64 = 4 << 20;

/// Where the log was read to, and what was found.
#[derive(Debug, Default)]
pub(crate) struct Logons(Mutex<Option<Inner>>);

#[derive(Debug, Clone, Copy, Default)]
struct Inner {
    inode: u64,
    read: u64,
    found: FailedLogons,
}

/// A line of the log, as far as it is looked at.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "Authentication", borrow)]
    authentication: Authentication<'a>,
}

#[derive(Deserialize)]
struct Authentication<'a> {
    status: &'a str,
    #[serde(rename = "passwordType", default)]
    password: Option<&'a str>,
}

impl Logons {
    /// How many there were since the first call; nothing when the log cannot be read.
    pub(crate) fn count(&self, paths: &Paths) -> Option<FailedLogons> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = match std::fs::metadata(paths.smbd_log()) {
            Ok(meta) => Some((meta.ino(), meta.len())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(_) => return None,
        };
        let Some(known) = inner.as_mut() else {
            // what happened before us is not ours to tell
            let (inode, read) = now.unwrap_or_default();
            *inner = Some(Inner { inode, read, found: FailedLogons::default() });
            return Some(FailedLogons::default());
        };
        if let Some((inode, _)) = now {
            if inode != known.inode {
                // smbd has begun a new file: the rest of the old one first
                let old = paths.smbd_log_old();
                if std::fs::metadata(&old).is_ok_and(|meta| meta.ino() == known.inode) {
                    known.follow(&old).ok()?;
                }
                (known.inode, known.read) = (inode, 0);
            }
            known.follow(&paths.smbd_log()).ok()?;
        }
        Some(known.found)
    }
}

impl Inner {
    fn follow(&mut self, path: &Path) -> std::io::Result<()> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        if length < self.read {
            self.read = 0;
        }
        if length == self.read {
            return Ok(());
        }
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        let got = file.take(MAX).read_to_end(&mut bytes)? as u64;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end as u64 + 1);
        // what has no end in all this is no line of smbd's
        self.read += if whole == 0 && got == MAX { got } else { whole };
        let text = String::from_utf8_lossy(bytes.get(..whole as usize).unwrap_or_default());
        for (status, ntlmv1) in text.lines().filter_map(failure) {
            tracing::debug!(status, "a logon failed");
            self.found.total += 1;
            self.found.ntlmv1 += u64::from(ntlmv1);
        }
        Ok(())
    }
}

/// Status of a failed logon, and whether it tried NTLMv1.
fn failure(line: &str) -> Option<(&str, bool)> {
    let line = line.trim_start();
    if !line.starts_with('{') || !line.contains("\"Authentication\"") {
        return None;
    }
    let Authentication { status, password } = serde_json::from_str::<Line<'_>>(line).ok()?.authentication;
    (status != "NT_STATUS_OK").then(|| (status, password.is_some_and(|kind| kind.starts_with("NTLMv1"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// As both versions really print it.
    fn line(status: &str, password: &str) -> String {
        format!(
            r#"  {{"timestamp": "2026-11-26T20:12:37.750650+0000", "type": "Authentication", "Authentication": {{"version": {{"major": 1, "minor": 3}}, "eventId": 4625, "status": "{status}", "authDescription": null, "clientAccount": "alice", "passwordType": "{password}", "duration": 2934}}}}"#
        ) + "\n"
    }

    #[test]
    fn counts_what_comes_and_follows_the_file() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::below(root.path());
        let (log, old) = (paths.smbd_log(), paths.smbd_log_old());
        std::fs::create_dir_all(log.parent().unwrap()).unwrap();
        std::fs::write(&log, line("NT_STATUS_WRONG_PASSWORD", "NTLMv2")).unwrap();
        let logons = Logons::default();
        let count = || {
            let FailedLogons { total, ntlmv1 } = logons.count(&paths).unwrap();
            (total, ntlmv1)
        };
        assert_eq!(count(), (0, 0));
        let mut file = File::options().append(true).open(&log).unwrap();
        let other = "[2026/11/26 20:12:34, 1] source3/x.c:1(f)\n  alice wrote \"Authentication\"\n  {\"Authentication\": 7}\n";
        let half = line("NT_STATUS_NO_SUCH_USER", "NTLMv1");
        write!(file, "{other}{}{}", line("NT_STATUS_OK", "NTLMv2"), &half[..40]).unwrap();
        assert_eq!(count(), (0, 0));
        write!(file, "{}", &half[40..]).unwrap();
        assert_eq!(count(), (1, 1));
        write!(file, "{}", line("NT_STATUS_WRONG_PASSWORD", "NTLMv2")).unwrap();
        std::fs::rename(&log, &old).unwrap();
        assert_eq!(count(), (1, 1), "no file for a moment");
        std::fs::write(&log, line("NT_STATUS_WRONG_PASSWORD", "NTLMv2")).unwrap();
        assert_eq!(count(), (3, 1));
        assert_eq!(count(), (3, 1));
    }
}
