//! The command line, as clap reads it. Values are parsed into their newtypes here, so that bad input ends with
//! exit code 2 before anything is looked at.

mod accounts;
mod domain;
mod figures;
mod handling;
mod members;
mod ops;
mod template;
mod values;

use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use smbgw_api::{
    Address, BridgeName, ByteSize, CephUser, DatasetName, DiskPath, DnsDomain, DomainPrincipal, Firmware,
    FolderPath, GatewayName, Group, HostPath, Listen, Mode, Principal, Quota, QuotaMode, RbdImage,
    SecurityProfile, ShareName, StartOrder, StorageId, TemplateName, UserName, VlanId, VolumeId,
};

pub use self::accounts::{GroupVerb, UserVerb};
pub use self::domain::{AdVerb, DomainArgs, JoinerArgs, JoinerPasswordArgs, PrecreatedArgs};
pub use self::figures::{MetricsArgs, SessionsVerb, Span, TopArgs, WhichSessions};
pub use self::handling::HandlingArgs;
pub use self::members::{QuotaVerb, ShareVerb};
pub use self::ops::OpsVerb;
pub use self::template::TemplateVerb;
use self::values::{parse_firmware, parse_group, parse_mode, parse_quota_mode, parse_security};

/// Makes Windows shares out of a Proxmox VE node's storage, without a NAS VM.
#[derive(Debug, Parser)]
#[command(name = "pve-smbgateway", version, max_term_width = 80, propagate_version = true)]
pub struct Cli {
    /// How to print results
    #[arg(long, short, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: OutputFormat,
    /// Where gateways run; found out when not given
    #[arg(long, global = true, value_enum, value_name = "PLATFORM")]
    pub platform: Option<PlatformName>,
    /// No progress on stderr
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// Forms of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputFormat {
    /// For people
    #[default]
    Human,
    /// Tables only
    Table,
    /// One JSON document
    Json,
}

/// Platforms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlatformName {
    /// Proxmox VE
    Pve,
    /// LXC and QEMU on any Debian machine
    Standalone,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a gateway
    Create(Box<CreateArgs>),
    /// List the gateways
    List,
    /// Show how a gateway is doing
    Status(GatewayArg),
    /// Show what a gateway does: rates, shares, clients
    Metrics(MetricsArgs),
    /// Show all gateways that run here, the busiest first
    Top(TopArgs),
    /// Who is connected
    #[command(subcommand)]
    Sessions(SessionsVerb),
    /// Print a gateway's spec as a manifest that can be applied again
    Show(GatewayArg),
    /// Change a gateway
    Set(SetArgs),
    /// Delete a gateway; its data stays
    Delete(DeleteArgs),
    /// Make the gateways of a manifest so
    Apply(ApplyArgs),
    /// Start gateways
    Start(SelectArgs),
    /// Stop gateways
    Stop(SelectArgs),
    /// Shares of a gateway
    #[command(subcommand)]
    Share(ShareVerb),
    /// Local users of a gateway
    #[command(subcommand)]
    User(UserVerb),
    /// Local groups of a gateway
    #[command(subcommand)]
    Group(GroupVerb),
    /// Active Directory: the domain of a gateway
    #[command(subcommand)]
    Ad(Box<AdVerb>),
    /// How much shares may hold
    #[command(subcommand)]
    Quota(QuotaVerb),
    /// Templates that gateways are made from
    #[command(subcommand)]
    Template(TemplateVerb),
    /// Operations: what was done, and what a crash left
    #[command(subcommand)]
    Ops(OpsVerb),
    /// Watch all gateways of this node: history, alerts, figures for Prometheus
    Serve(ServeArgs),
    /// Say what this node has and lacks, with the fix
    Doctor(DoctorArgs),
    /// Print completions for a shell
    Completions {
        /// Shell
        shell: clap_complete::Shell,
    },
    /// Write man pages into a directory
    #[command(hide = true)]
    Man {
        /// Directory
        directory: PathBuf,
    },
    /// Hold a virtual machine together (the platform starts this)
    #[command(hide = true)]
    Machine(GatewayArg),
    /// Make a container's directories before it starts (LXC runs this)
    #[command(hide = true)]
    GuestHook(GuestHookArgs),
    /// Carry a question to an agent of this node (other nodes run this)
    #[command(hide = true)]
    Relay(RelayArgs),
    /// Print the JSON schema of what `--output json` prints
    #[command(hide = true)]
    Schema,
}

/// A gateway by name.
#[derive(Debug, Args)]
pub struct GatewayArg {
    /// Name of the gateway
    pub name: GatewayName,
}

/// `serve`
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Its settings [default: /etc/pve-smbgateway/monitor.yaml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `guest-hook`, with what LXC says to its hooks (lxc.container.conf(5))
#[derive(Debug, Args)]
pub struct GuestHookArgs {
    /// Id of the container
    pub id: u32,
    /// lxc
    pub section: Option<String>,
    /// pre-start
    pub hook: Option<String>,
}

/// `relay`
#[derive(Debug, Args)]
pub struct RelayArgs {
    /// Name of the gateway
    pub name: GatewayName,
    /// What is asked, as /v1/health
    pub path: String,
}

/// `create`
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Name of the gateway; also its host name
    pub name: GatewayName,
    /// Where it runs: lxc, vm or native
    #[arg(long, default_value_t, value_parser = parse_mode)]
    pub mode: Mode,
    /// Directory on this node to share
    #[arg(long, value_name = "DIR")]
    pub path: Option<HostPath>,
    #[command(flatten)]
    /// Directory of a storage.
    pub place: PlaceArgs,
    #[command(flatten)]
    /// Disk of a virtual machine.
    pub disk: DiskArgs,
    /// Name of the share [default: the gateway's name]
    #[arg(long, value_name = "NAME")]
    pub share: Option<ShareName>,
    #[command(flatten)]
    /// Options of the share.
    pub share_options: ShareOptions,
    /// Local user to make; may be given several times
    #[arg(long = "user", value_name = "NAME")]
    pub users: Vec<UserName>,
    /// Local group to make, as staff or staff=alice,bob; may be given several
    /// times
    #[arg(long = "group", value_name = "NAME[=USERS]", value_parser = parse_group)]
    pub groups: Vec<Group>,
    #[command(flatten)]
    /// Where the users' password comes from.
    pub password: PasswordArgs,
    #[command(flatten)]
    /// Domain.
    pub domain: DomainArgs,
    #[command(flatten)]
    /// Who joins it.
    pub joiner: JoinerArgs,
    #[command(flatten)]
    /// Or with what else.
    pub precreated: PrecreatedArgs,
    /// Template [default: debian-13]
    #[arg(long, value_name = "NAME")]
    pub template: Option<TemplateName>,
    /// Memory: limit of a container [default: 128M], size of a virtual machine
    /// [default: 2G]
    #[arg(long, visible_alias = "vm-memory", value_name = "SIZE")]
    pub memory: Option<ByteSize>,
    /// Processors [default: all; in a virtual machine 2]
    #[arg(long, visible_alias = "vm-cores", value_name = "N")]
    pub cores: Option<u32>,
    /// What starts a virtual machine: bios or uefi (with Secure Boot)
    #[arg(long, default_value_t, value_parser = parse_firmware, value_name = "FIRMWARE")]
    pub firmware: Firmware,
    #[command(flatten)]
    /// Network.
    pub network: NetworkArgs,
    /// Storage for the guest's own disk (Proxmox VE) [default: chosen]
    #[arg(long, value_name = "STORAGE")]
    pub guest_storage: Option<StorageId>,
    /// Its turn when the node starts (Proxmox VE), as 20 or order=20,up=30
    #[arg(long, value_name = "ORDER")]
    pub startup: Option<StartOrder>,
    /// standard or high (SMB 3.1.1 with encryption only)
    #[arg(long, default_value_t, value_parser = parse_security, value_name = "PROFILE")]
    pub security: SecurityProfile,
    /// Do not start it when the node starts
    #[arg(long)]
    pub no_onboot: bool,
    #[command(flatten)]
    /// Only plan.
    pub dry: DryRun,
}

/// A directory that a storage of Proxmox VE has.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// Storage that has the directory to share (Proxmox VE)
    #[arg(long, value_name = "STORAGE", conflicts_with = "path")]
    pub storage: Option<StorageId>,
    /// Dataset or directory on the storage [default: the share's name]
    #[arg(long, value_name = "NAME", requires = "storage")]
    pub dataset: Option<DatasetName>,
    /// Make the dataset or directory if it is missing
    #[arg(long, requires = "storage")]
    pub create_dataset: bool,
}

/// The disk of a virtual machine, for shares with a folder.
#[derive(Debug, Args)]
pub struct DiskArgs {
    /// Raw image file or block device: the disk of a virtual machine
    #[arg(long, value_name = "FILE", conflicts_with = "rbd")]
    pub disk: Option<DiskPath>,
    /// RBD image: the disk of a virtual machine
    #[arg(long, value_name = "POOL/IMAGE")]
    pub rbd: Option<RbdImage>,
    /// Ceph user, without client. [default: admin]
    #[arg(long, value_name = "USER", requires = "rbd")]
    pub ceph_user: Option<CephUser>,
    /// Volume of a storage (Proxmox VE): the disk of a virtual machine
    #[arg(long, value_name = "STORAGE:VOLUME", conflicts_with_all = ["disk", "rbd"])]
    pub volume: Option<VolumeId>,
    /// Make a file system on the disk if it is empty
    #[arg(long)]
    pub format: bool,
    /// Folder on the disk to share [default: the share's name]
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["path", "storage"])]
    pub folder: Option<FolderPath>,
}

/// Options of a share, the same for `create` and `share add`.
#[derive(Debug, Args)]
pub struct ShareOptions {
    /// Text shown beside the share
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// Nobody may write
    #[arg(long)]
    pub read_only: bool,
    /// May open the share: a user or group of the domain, as 'CORP\\Team'; may be
    /// given several times [default: all, unless local ones are named]
    #[arg(long = "allow", value_name = "DOMAIN\\NAME")]
    pub allow: Vec<DomainPrincipal>,
    /// May open the share and only read: a user, or @group; may be given several
    /// times
    #[arg(long = "reader", value_name = "NAME")]
    pub readers: Vec<Principal>,
    /// Let the share's users and groups into its top directory by a POSIX ACL
    #[arg(long)]
    pub grant: bool,
    /// How much the share may hold, as 500G
    #[arg(long, value_name = "SIZE")]
    pub quota: Option<ByteSize>,
    /// enforce: the file system refuses more; report: only a warning
    #[arg(long, value_name = "MODE", requires = "quota", value_parser = parse_quota_mode)]
    pub quota_mode: Option<QuotaMode>,
    #[command(flatten)]
    /// What happens to its files.
    pub handling: HandlingArgs,
}

impl ShareOptions {
    /// The quota that is asked for.
    pub fn quota(&self) -> Option<Quota> {
        self.quota.map(|size| Quota { size, mode: self.quota_mode.unwrap_or_default() })
    }
}

/// Network options.
#[derive(Debug, Args)]
pub struct NetworkArgs {
    /// Bridge on this node [default: the platform's own; on Proxmox VE vmbr0]
    #[arg(long, visible_alias = "net", value_name = "BRIDGE")]
    pub bridge: Option<BridgeName>,
    /// auto, dhcp or an address as 10.0.0.5/24
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Option<Address>,
    /// Default route
    #[arg(long, value_name = "IP")]
    pub gateway: Option<Ipv4Addr>,
    /// VLAN on a bridge that tells VLANs apart
    #[arg(long, value_name = "NUMBER")]
    pub vlan: Option<VlanId>,
    /// Name server; may be given several times [default: the node's on Proxmox
    /// VE, none elsewhere]
    #[arg(long = "nameserver", value_name = "IP")]
    pub nameservers: Vec<Ipv4Addr>,
    /// Search domain [default: the node's on Proxmox VE, none elsewhere]
    #[arg(long, value_name = "DOMAIN")]
    pub searchdomain: Option<DnsDomain>,
    /// Where a gateway on the node itself takes connections: an address of
    /// the node, :PORT, or both [default: all addresses, port 445]
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    pub listen: Option<Listen>,
}

/// Where a password comes from; asked for on a terminal when nothing is given. Never an argument.
#[derive(Debug, Default, Args)]
#[group(multiple = false)]
pub struct PasswordArgs {
    /// Read the password from the first line of a file
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Read the password from a file descriptor
    #[arg(long, value_name = "FD")]
    pub password_fd: Option<i32>,
    /// Read the password from a systemd credential
    #[arg(long, value_name = "NAME")]
    pub password_credential: Option<String>,
}

/// `--dry-run`
#[derive(Debug, Clone, Copy, Args)]
pub struct DryRun {
    /// Print the steps and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `set`
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Name of the gateway
    pub name: GatewayName,
    /// Memory; a virtual machine is restarted for it
    #[arg(long, visible_alias = "vm-memory", value_name = "SIZE")]
    pub memory: Option<ByteSize>,
    /// Processors; a virtual machine is restarted for it
    #[arg(long, visible_alias = "vm-cores", value_name = "N")]
    pub cores: Option<u32>,
    /// Let the file system on a virtual machine's disk grow to the size that
    /// the disk has now
    #[arg(long)]
    pub grow_disk: bool,
    #[command(flatten)]
    /// Network.
    pub network: NetworkArgs,
    /// standard or high
    #[arg(long, value_parser = parse_security, value_name = "PROFILE")]
    pub security: Option<SecurityProfile>,
    /// Start it when the node starts: true or false
    #[arg(long, value_name = "BOOL")]
    pub onboot: Option<bool>,
    /// Its turn when the node starts (Proxmox VE), as 20 or order=20,up=30
    #[arg(long, value_name = "ORDER")]
    pub startup: Option<StartOrder>,
    #[command(flatten)]
    /// Only plan.
    pub dry: DryRun,
}

/// `delete`
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Name of the gateway
    pub name: GatewayName,
    #[command(flatten)]
    /// Who deletes the computer account.
    pub joiner: JoinerArgs,
    /// Leave the computer account in the domain
    #[arg(long, conflicts_with_all = ["user", "ad-password"])]
    pub keep_account: bool,
    #[command(flatten)]
    /// Only plan.
    pub dry: DryRun,
}

/// `apply`
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// Manifest in YAML; - for stdin
    #[arg(long, short, value_name = "FILE")]
    pub file: PathBuf,
    /// Gateways worked on at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub parallel: u32,
    /// File with lines GATEWAY/USER:PASSWORD for users that are made
    #[arg(long, value_name = "FILE")]
    pub passwords_file: Option<PathBuf>,
    #[command(flatten)]
    /// Who joins and leaves domains.
    pub joiner: JoinerArgs,
    #[command(flatten)]
    /// Only plan.
    pub dry: DryRun,
}

/// `start`, `stop`
#[derive(Debug, Args)]
pub struct SelectArgs {
    /// Name of the gateway
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub name: Option<GatewayName>,
    /// All gateways (start: those that start with the node)
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    /// Only plan.
    pub dry: DryRun,
}

/// `doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Mend what can be mended without installing packages
    #[arg(long)]
    pub fix: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_password_can_be_an_argument() {
        assert!(Cli::try_parse_from(["pve-smbgateway", "create", "a", "--password", "x"]).is_err());
    }

    /// The whole command line, as people see it.
    #[test]
    fn help_of_every_verb() {
        fn write(command: &mut clap::Command, path: &str, text: &mut String) {
            text.push_str(&format!("==== {path}\n{}\n", command.render_long_help()));
            for sub in
                command.get_subcommands_mut().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
            {
                let path = format!("{path} {}", sub.get_name());
                write(sub, &path, text);
            }
        }
        let mut text = String::new();
        write(&mut Cli::command().term_width(80), "pve-smbgateway", &mut text);
        insta::assert_snapshot!(text);
    }

    /// Every help text fits a terminal of 80 columns.
    #[test]
    fn help_fits_80_columns() {
        fn check(command: &mut clap::Command, path: &str) {
            let help = command.render_long_help().to_string();
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{path}: {line}");
            }
            for sub in command.get_subcommands_mut() {
                let path = format!("{path} {}", sub.get_name());
                check(sub, &path);
            }
        }
        check(&mut Cli::command(), "pve-smbgateway");
    }
}
