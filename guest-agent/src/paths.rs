//! Every path that the agent touches, under one root so that tests can have their own.

use std::path::{Path, PathBuf};

use smbgw_api::ShareName;

/// Paths of a gateway.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    root: PathBuf,
}

impl Paths {
    /// Those of this machine.
    pub(crate) fn system() -> Self {
        Self::below("/")
    }

    /// Those of a tree.
    pub(crate) fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Accounts, passwd(5).
    pub(crate) fn passwd(&self) -> PathBuf {
        self.at("etc/passwd")
    }

    /// Groups, group(5).
    pub(crate) fn group(&self) -> PathBuf {
        self.at("etc/group")
    }

    /// Samba's configuration.
    pub(crate) fn smb_conf(&self) -> PathBuf {
        self.at("etc/samba/smb.conf")
    }

    /// The configuration that is about to become [`Self::smb_conf`].
    pub(crate) fn smb_conf_new(&self) -> PathBuf {
        self.at("etc/samba/smb.conf.smbgw-new")
    }

    /// The configuration before the change that is under way.
    pub(crate) fn smb_conf_old(&self) -> PathBuf {
        self.at("etc/samba/smb.conf.smbgw-old")
    }

    /// What was applied last.
    pub(crate) fn state(&self) -> PathBuf {
        self.at("var/lib/smbgw/state.json")
    }

    /// The name for which the machine's SID was set.
    pub(crate) fn machine_sid(&self) -> PathBuf {
        self.at("var/lib/smbgw/machine-sid")
    }

    /// There while smbd runs.
    pub(crate) fn smbd_pid(&self) -> PathBuf {
        self.at("run/samba/smbd.pid")
    }

    /// Directory of a share.
    pub(crate) fn share(&self, share: &ShareName) -> PathBuf {
        self.at(&share.guest_path())
    }

    /// Processes, proc(5).
    pub(crate) fn proc(&self) -> PathBuf {
        self.at("proc")
    }

    /// smbd's log, as smb.conf names it.
    pub(crate) fn smbd_log(&self) -> PathBuf {
        self.at("var/log/samba/log.smbd")
    }
}

/// The directory a file is in.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}
