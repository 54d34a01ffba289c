//! `user` and `group`: who may log on to a gateway.

use std::path::PathBuf;

use clap::Subcommand;
use smbgw_api::{GatewayName, GroupName, UserName};

use super::{DryRun, GatewayArg, PasswordArgs};

/// Options that say where a password comes from.
const PASSWORD: [&str; 3] = ["password_file", "password_fd", "password_credential"];

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
        /// Group that the user is to be in; may be given several times
        #[arg(long = "group", value_name = "NAME")]
        groups: Vec<GroupName>,
        #[command(flatten)]
        /// Where the password comes from.
        password: PasswordArgs,
        /// Make a strong password and print it, once
        #[arg(long, conflicts_with_all = PASSWORD)]
        generate: bool,
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
        /// Also one whom shares or groups name: out of them, too
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        /// Only plan.
        dry: DryRun,
    },
    /// Make the users of a CSV file, all or none, and print their new passwords
    Import {
        /// Name of the gateway
        gateway: GatewayName,
        /// File with a header line: name, and uid and groups if there are any;
        /// - for stdin
        file: PathBuf,
        /// Make groups that the file names and the gateway lacks
        #[arg(long)]
        create_groups: bool,
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
        /// Make a strong password and print it, once
        #[arg(long, conflicts_with_all = PASSWORD)]
        generate: bool,
        #[command(flatten)]
        /// Only plan.
        dry: DryRun,
    },
    /// List the users
    List(GatewayArg),
}

/// `group`
#[derive(Debug, Subcommand)]
pub enum GroupVerb {
    /// Add a group
    Add {
        /// Name of the gateway
        gateway: GatewayName,
        /// Name of the group
        group: GroupName,
        /// Its id [default: the next free one]
        #[arg(long, value_name = "GID")]
        gid: Option<u32>,
        /// User in it; may be given several times
        #[arg(long = "member", value_name = "USER")]
        members: Vec<UserName>,
        #[command(flatten)]
        /// Only plan.
        dry: DryRun,
    },
    /// Change who is in a group
    Set {
        /// Name of the gateway
        gateway: GatewayName,
        /// Name of the group
        group: GroupName,
        /// User to take in; may be given several times
        #[arg(long = "member", value_name = "USER", required_unless_present = "remove")]
        members: Vec<UserName>,
        /// User to take out; may be given several times
        #[arg(long = "remove-member", value_name = "USER")]
        remove: Vec<UserName>,
        #[command(flatten)]
        /// Only plan.
        dry: DryRun,
    },
    /// Remove a group; its members stay
    Remove {
        /// Name of the gateway
        gateway: GatewayName,
        /// Name of the group
        group: GroupName,
        /// Also one that shares name: out of them, too
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        /// Only plan.
        dry: DryRun,
    },
    /// List the groups
    List(GatewayArg),
}
