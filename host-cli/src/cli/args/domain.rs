//! `ad`, and what other verbs say of a domain.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use smbgw_api::{
    Domain, DomainIds, DomainUser, Fallback, GatewayName, HostName, IdBackend, Invalid, OrgUnit, Realm,
    Workgroup,
};

use super::{DryRun, GatewayArg};

/// Which domain, and how.
#[derive(Debug, Clone, Default, Args)]
pub struct DomainArgs {
    /// Active Directory domain to join, by its DNS name, as CORP.EXAMPLE
    #[arg(long = "ad-domain", value_name = "REALM")]
    pub realm: Option<Realm>,
    /// Its NetBIOS name [default: the first part of the realm]
    #[arg(long = "ad-workgroup", value_name = "NAME", requires = "realm")]
    pub workgroup: Option<Workgroup>,
    /// Organizational unit of the computer account, as OU=Files,OU=Servers
    /// [default: the domain's]
    #[arg(long = "ad-ou", value_name = "OU", requires = "realm")]
    pub ou: Option<OrgUnit>,
    /// Domain controller to join at, by its DNS name [default: found by DNS]
    #[arg(long = "ad-controller", value_name = "NAME", requires = "realm")]
    pub controller: Option<HostName>,
    /// Another name by which clients reach the gateway, as
    /// files.corp.example; may be given several times
    #[arg(long = "ad-alias", value_name = "NAME", requires = "realm")]
    pub aliases: Vec<HostName>,
    /// How ids follow from the domain's accounts: rid, ad or autorid
    /// [default: rid]
    #[arg(long = "ad-idmap", value_name = "BACKEND", requires = "realm", value_parser = parse_backend)]
    pub id_backend: Option<IdBackend>,
    /// Ids of the domain's users and groups [default: 100000-1099999]
    #[arg(long = "ad-id-range", value_name = "FIRST-LAST", requires = "realm")]
    pub ids: Option<DomainIds>,
    /// What `create` does when the domain cannot be reached: fail, or serve
    /// local users and join later [default: fail]
    #[arg(long = "ad-fallback", value_name = "fail|local", requires = "realm", value_parser = parse_fallback)]
    pub fallback: Option<Fallback>,
}

impl DomainArgs {
    /// The domain that is asked for.
    pub fn domain(&self) -> Option<Domain> {
        let realm = self.realm.clone()?;
        Some(Domain {
            workgroup: self.workgroup.clone(),
            ou: self.ou.clone(),
            controller: self.controller.clone(),
            aliases: self.aliases.clone(),
            id_backend: self.id_backend.unwrap_or_default(),
            ids: self.ids.unwrap_or_default(),
            fallback: self.fallback.unwrap_or_default(),
            ..Domain::of(realm)
        })
    }
}

/// Who joins or leaves the domain. The password is asked for on a terminal when nothing is given. Never an argument.
#[derive(Debug, Clone, Default, Args)]
pub struct JoinerArgs {
    /// Account of the domain that may join or remove computers
    /// [default: Administrator]
    #[arg(long = "ad-user", value_name = "USER")]
    pub user: Option<DomainUser>,
    #[command(flatten)]
    /// Where its password comes from.
    pub password: JoinerPasswordArgs,
}

/// Where the password of that account comes from.
#[derive(Debug, Clone, Default, Args)]
#[group(id = "ad-password", multiple = false)]
pub struct JoinerPasswordArgs {
    /// Read that account's password from the first line of a file
    #[arg(long = "ad-password-file", value_name = "FILE")]
    pub ad_password_file: Option<PathBuf>,
    /// Read it from the first line of stdin
    #[arg(long = "ad-password-stdin")]
    pub ad_password_stdin: bool,
    /// Read it from a file descriptor
    #[arg(long = "ad-password-fd", value_name = "FD")]
    pub ad_password_fd: Option<i32>,
    /// Read it from a systemd credential
    #[arg(long = "ad-password-credential", value_name = "NAME")]
    pub ad_password_credential: Option<String>,
}

impl JoinerPasswordArgs {
    /// Whether one is given.
    pub fn is_given(&self) -> bool {
        self.ad_password_file.is_some()
            || self.ad_password_stdin
            || self.ad_password_fd.is_some()
            || self.ad_password_credential.is_some()
    }
}

/// What a computer account that was made beforehand is joined with, instead of a user's password.
#[derive(Debug, Clone, Default, Args)]
pub struct PrecreatedArgs {
    /// Join with a file that `net offlinejoin provision` or `djoin` wrote
    #[arg(long = "ad-blob-file", value_name = "FILE", conflicts_with_all = ["user", "ad-password"])]
    pub blob: Option<PathBuf>,
}

/// `ad`
#[derive(Debug, Subcommand)]
pub enum AdVerb {
    /// Join a gateway to a domain, or join it again
    Join {
        /// Name of the gateway
        gateway: GatewayName,
        #[command(flatten)]
        /// Domain.
        domain: Box<DomainArgs>,
        #[command(flatten)]
        /// Who joins.
        joiner: JoinerArgs,
        #[command(flatten)]
        /// Or with what else.
        precreated: PrecreatedArgs,
        /// While the domain cannot be reached, try again, for so long
        /// [default: 24h]
        #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "24h", value_parser = parse_time)]
        wait: Option<Duration>,
        #[command(flatten)]
        /// Only plan.
        dry: DryRun,
    },
    /// Take a gateway out of its domain, and delete its computer account
    Leave {
        /// Name of the gateway
        gateway: GatewayName,
        #[command(flatten)]
        /// Who deletes the computer account.
        joiner: JoinerArgs,
        /// Leave the computer account in the domain
        #[arg(long, conflicts_with_all = ["user", "ad-password"])]
        keep_account: bool,
        #[command(flatten)]
        /// Only plan.
        dry: DryRun,
    },
    /// Show how a gateway stands with its domain
    Status(GatewayArg),
    /// Ask the domain whether it accepts the gateway; exit code 5 if not
    Test(GatewayArg),
    /// Look at all that a join needs, and say what is wrong with it
    Diagnose {
        /// Name of the gateway
        gateway: GatewayName,
        #[command(flatten)]
        /// Which domain; the gateway's own when absent.
        domain: Box<DomainArgs>,
        #[command(flatten)]
        /// Who would join; without a password, what needs one is left out.
        joiner: JoinerArgs,
    },
}

fn parse_fallback(text: &str) -> Result<Fallback, Invalid> {
    match text {
        "fail" => Ok(Fallback::Fail),
        "local" => Ok(Fallback::Local),
        _ => Err(Invalid {
            what: "fallback",
            value: text.chars().take(40).collect(),
            rule: "fail or local".to_owned(),
        }),
    }
}

fn parse_time(text: &str) -> Result<Duration, Invalid> {
    let bad = || Invalid {
        what: "time",
        value: text.chars().take(40).collect(),
        rule: "must be like 30m or 24h".to_owned(),
    };
    let time: jiff::SignedDuration = text.parse().map_err(|_| bad())?;
    Duration::try_from(time).map_err(|_| bad())
}

fn parse_backend(text: &str) -> Result<IdBackend, Invalid> {
    match text {
        "rid" => Ok(IdBackend::Rid),
        "ad" => Ok(IdBackend::Ad),
        "autorid" => Ok(IdBackend::Autorid),
        _ => Err(Invalid {
            what: "backend",
            value: text.chars().take(40).collect(),
            rule: "rid, ad or autorid".to_owned(),
        }),
    }
}
