//! `share` and `quota`: what belongs to a gateway.

use clap::Subcommand;
use smbgw_api::{
    ByteSize, DomainPrincipal, FolderPath, GatewayName, GroupName, HostPath, Principal, QuotaMode, ShareName,
    UserName,
};

use super::{DryRun, GatewayArg, HandlingArgs, PlaceArgs, ShareOptions};

/// `share`
#[derive(Debug, Subcommand)]
pub enum ShareVerb {
    /// Add a share
    Add {
        /// Name of the gateway
        gateway: GatewayName,
        /// Name of the share
        share: ShareName,
        /// Directory on this node to share
        #[arg(long, value_name = "DIR", required_unless_present_any = ["folder", "storage"])]
        path: Option<HostPath>,
        #[command(flatten)]
        /// Directory of a storage.
        place: PlaceArgs,
        /// Folder on the gateway's disk to share
        #[arg(long, value_name = "FOLDER", conflicts_with_all = ["path", "storage"])]
        folder: Option<FolderPath>,
        #[command(flatten)]
        /// Options of the share.
        options: ShareOptions,
        /// Only this user may open it; may be given several times
        #[arg(long = "user", value_name = "NAME")]
        users: Vec<UserName>,
        /// Only members of this group may open it; may be given several times
        #[arg(long = "group", value_name = "NAME")]
        groups: Vec<GroupName>,
        /// Not shown in the list of shares
        #[arg(long)]
        hidden: bool,
        #[command(flatten)]
        /// Only plan.
        dry: DryRun,
    },
    /// Change a share
    Set {
        /// Name of the gateway
        gateway: GatewayName,
        /// Name of the share
        share: ShareName,
        /// Text shown beside the share; empty for none
        #[arg(long, value_name = "TEXT")]
        comment: Option<String>,
        /// Nobody may write: true or false
        #[arg(long, value_name = "BOOL")]
        read_only: Option<bool>,
        /// Not shown in the list of shares: true or false
        #[arg(long, value_name = "BOOL")]
        hidden: Option<bool>,
        /// Only these users and groups may open it; may be given several times
        #[arg(long = "user", value_name = "NAME", conflicts_with = "all_users")]
        users: Vec<UserName>,
        /// Only these users and groups may open it; may be given several times
        #[arg(long = "group", value_name = "NAME", conflicts_with = "all_users")]
        groups: Vec<GroupName>,
        /// Only these, and this user or group of the domain, as 'CORP\\Team', may
        /// open it; may be given several times
        #[arg(long = "allow", value_name = "DOMAIN\\NAME", conflicts_with = "all_users")]
        allow: Vec<DomainPrincipal>,
        /// All users of the gateway may open it
        #[arg(long)]
        all_users: bool,
        /// Only these users and @groups may open it and only read; may be given
        /// several times
        #[arg(long = "reader", value_name = "NAME", conflicts_with = "no_readers")]
        readers: Vec<Principal>,
        /// All who may open it may write
        #[arg(long)]
        no_readers: bool,
        #[command(flatten)]
        /// What happens to its files.
        handling: HandlingArgs,
        /// No raw options
        #[arg(long, conflicts_with = "raw_options")]
        no_raw_options: bool,
        #[command(flatten)]
        /// Only plan.
        dry: DryRun,
    },
    /// Remove a share; its data stays
    Remove {
        /// Name of the gateway
        gateway: GatewayName,
        /// Name of the share
        share: ShareName,
        #[command(flatten)]
        /// Only plan.
        dry: DryRun,
    },
    /// List the shares
    List(GatewayArg),
}

/// `quota`
#[derive(Debug, Subcommand)]
pub enum QuotaVerb {
    /// Show the quotas of this node's shares, and how full they are
    Show {
        /// Name of the gateway; all of this node when absent
        gateway: Option<GatewayName>,
    },
    /// Set, change or remove the quota of a share, or of a user or a group
    Set {
        /// Name of the gateway
        gateway: GatewayName,
        /// How much, as 500G; none removes the quota
        #[arg(value_parser = parse_limit)]
        size: Limit,
        /// Share [default: the only one]
        #[arg(long, value_name = "NAME")]
        share: Option<ShareName>,
        /// Of this user's files on the share's file system, instead of the share
        #[arg(long, value_name = "USER", conflicts_with_all = ["group", "quota_mode"])]
        user: Option<UserName>,
        /// Of the files of this group on the share's file system
        #[arg(long, value_name = "GROUP", conflicts_with = "quota_mode")]
        group: Option<GroupName>,
        /// enforce: the file system refuses more; report: only a warning
        #[arg(long, value_name = "MODE", value_parser = super::values::parse_quota_mode)]
        quota_mode: Option<QuotaMode>,
        /// Also below what is there, or in place of a limit of others
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        /// Only plan.
        dry: DryRun,
    },
    /// Look how full shares are, warn, and tell gateways (a timer runs this)
    Refresh,
}

/// A quota, or none.
#[derive(Debug, Clone, Copy)]
pub struct Limit(pub Option<ByteSize>);

fn parse_limit(text: &str) -> Result<Limit, smbgw_api::Invalid> {
    if text == "none" { Ok(Limit(None)) } else { ByteSize::parse(text).map(|size| Limit(Some(size))) }
}
