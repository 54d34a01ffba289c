//! `share` and `user`: what belongs to a gateway.

use clap::Subcommand;
use smbgw_api::{FolderPath, GatewayName, HostPath, ShareName, UserName};

use super::{DryRun, GatewayArg, PasswordArgs, PlaceArgs, ShareOptions};

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
        /// Only these users may open it; may be given several times
        #[arg(long = "user", value_name = "NAME", conflicts_with = "all_users")]
        users: Vec<UserName>,
        /// All users of the gateway may open it
        #[arg(long)]
        all_users: bool,
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

/// `user`
#[derive(Debug, Subcommand)]
pub enum UserVerb {
    /// Add a user
    Add {
        /// Name of the gateway
        gateway: GatewayName,
        /// Name of the user
        user: UserName,
        /// Owner of the files this user writes [default: the next free one]
        #[arg(long, value_name = "UID")]
        uid: Option<u32>,
        #[command(flatten)]
        /// Where the password comes from.
        password: PasswordArgs,
        #[command(flatten)]
        /// Only plan.
        dry: DryRun,
    },
    /// Remove a user; the files stay
    Remove {
        /// Name of the gateway
        gateway: GatewayName,
        /// Name of the user
        user: UserName,
        #[command(flatten)]
        /// Only plan.
        dry: DryRun,
    },
    /// Set a user's password
    Passwd {
        /// Name of the gateway
        gateway: GatewayName,
        /// Name of the user
        user: UserName,
        #[command(flatten)]
        /// Where the password comes from.
        password: PasswordArgs,
        #[command(flatten)]
        /// Only plan.
        dry: DryRun,
    },
    /// List the users
    List(GatewayArg),
}
