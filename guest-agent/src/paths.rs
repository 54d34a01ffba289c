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

    /// Passwords of groups, gshadow(5).
    pub(crate) fn gshadow(&self) -> PathBuf {
        self.at("etc/gshadow")
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

    /// The membership of a domain.
    pub(crate) fn domain(&self) -> PathBuf {
        self.at("var/lib/smbgw/domain.json")
    }

    /// What a request about a domain needs while it runs.
    pub(crate) fn domain_scratch(&self) -> PathBuf {
        self.at("run/smbgw-domain")
    }

    /// Kerberos, krb5.conf(5).
    pub(crate) fn krb5_conf(&self) -> PathBuf {
        self.at("etc/krb5.conf")
    }

    /// Kerberos keys of the machine.
    pub(crate) fn keytab(&self) -> PathBuf {
        self.at("etc/krb5.keytab")
    }

    /// Name servers, resolv.conf(5).
    pub(crate) fn resolv_conf(&self) -> PathBuf {
        self.at("etc/resolv.conf")
    }

    /// Secrets of the machine account.
    pub(crate) fn secrets(&self) -> PathBuf {
        self.at("var/lib/samba/private/secrets.tdb")
    }

    /// There while smbd runs.
    pub(crate) fn smbd_pid(&self) -> PathBuf {
        self.at("run/samba/smbd.pid")
    }

    /// Directory of a share.
    pub(crate) fn share(&self, share: &ShareName) -> PathBuf {
        self.at(&share.guest_path())
    }

    /// Limits and use of shares with quotas.
    pub(crate) fn sizes(&self) -> PathBuf {
        self.at("run/smbgw-sizes")
    }

    /// Those of a share.
    pub(crate) fn share_size(&self, share: &ShareName) -> PathBuf {
        self.size_of(Path::new(&share.guest_path()))
    }

    /// The same by the share's directory.
    pub(crate) fn size_of(&self, directory: &Path) -> PathBuf {
        self.sizes().join(directory.strip_prefix("/").unwrap_or(directory))
    }

    /// Which process opened and closed which share, for the agent to take.
    pub(crate) fn traffic(&self) -> PathBuf {
        self.sizes().join("traffic")
    }

    /// What it took last.
    pub(crate) fn traffic_taken(&self) -> PathBuf {
        self.sizes().join("traffic.taken")
    }

    /// Where smbd's counters are.
    pub(crate) fn counters(&self) -> PathBuf {
        self.sizes().join("counters")
    }

    /// What was read and written in each share.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.sizes().join("ledger.json")
    }

    /// smbd's counters.
    pub(crate) fn profile(&self) -> PathBuf {
        self.at("var/cache/samba/smbprofile.tdb")
    }

    /// Any path of the gateway.
    pub(crate) fn below_root(&self, path: &str) -> PathBuf {
        self.at(path)
    }

    /// Where the gateway's disk is mounted.
    pub(crate) fn disk(&self) -> PathBuf {
        self.at(smbgw_api::v1::DISK_PATH)
    }

    /// Units that belong to this machine.
    pub(crate) fn units(&self) -> PathBuf {
        self.at("etc/systemd/system")
    }

    /// One of them.
    pub(crate) fn unit(&self, name: &str) -> PathBuf {
        self.units().join(name)
    }

    /// The link by which it comes up at boot.
    pub(crate) fn unit_wanted(&self, name: &str) -> PathBuf {
        self.units().join("multi-user.target.wants").join(name)
    }

    /// Block devices, sysfs(5).
    pub(crate) fn blocks(&self) -> PathBuf {
        self.at("sys/block")
    }

    /// Nodes of devices.
    pub(crate) fn dev(&self) -> PathBuf {
        self.at("dev")
    }

    /// Names that udev gives to disks.
    pub(crate) fn by_id(&self) -> PathBuf {
        self.at("dev/disk/by-id")
    }

    /// Bodies of requests that come in parts.
    pub(crate) fn stash(&self) -> PathBuf {
        self.at("run/smbgw/stash")
    }

    /// Processes, proc(5).
    pub(crate) fn proc(&self) -> PathBuf {
        self.at("proc")
    }

    /// smbd's log, as smb.conf names it.
    pub(crate) fn smbd_log(&self) -> PathBuf {
        self.at("var/log/samba/log.smbd")
    }

    /// What was in it before Samba began a new one.
    pub(crate) fn smbd_log_old(&self) -> PathBuf {
        self.at("var/log/samba/log.smbd.old")
    }
}

/// The directory a file is in.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}
