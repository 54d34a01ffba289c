//! `quota`

use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use smbgw_api::v1::{ShareUsage, Usage};
use smbgw_api::{ByteSize, GatewayName, Principal, Quota, QuotaMode, Share, ShareName};
use smbgw_command::{Command, Runner as _, System};

use super::args::QuotaVerb;
use super::edit::Edit;
use crate::operation::{Context, Secrets, audit};
use crate::output::view::{QuotaList, QuotaRow, ResultRow, Results};
use crate::platform::GuestState;
use crate::quota::owner::{self, Kinds, Owner};
use crate::quota::{self, history::History};
use crate::record::{Record, RecordState};
use crate::{Error, Result, record};

pub(super) fn run(context: &Context, verb: QuotaVerb) -> Result<ExitCode> {
    match verb {
        QuotaVerb::Show { gateway } => show(context, gateway.as_ref()),
        QuotaVerb::Set { gateway, size, share, user, group, quota_mode, force, dry } => {
            let edit = Edit { force, ..Edit::of("quota set", &gateway, dry.dry_run) };
            edit.apply(context, |spec| {
                let name = spec.name.clone();
                let share = chosen(&name, &mut spec.shares, share.as_ref())?;
                if let Some(principal) = user.map(Principal::User).or(group.map(Principal::Group)) {
                    match size.0 {
                        Some(size) => share.user_quotas.insert(principal, size),
                        None => share.user_quotas.remove(&principal),
                    };
                    return Ok(());
                }
                let mode = quota_mode.or(share.quota.map(|quota| quota.mode)).unwrap_or_default();
                share.quota = size.0.map(|size| Quota { size, mode });
                Ok(())
            })
        }
        QuotaVerb::Refresh => refresh(context),
    }
}

/// The share that is named, or the only one.
fn chosen<'a>(
    gateway: &GatewayName,
    shares: &'a mut [Share],
    name: Option<&ShareName>,
) -> Result<&'a mut Share> {
    let hint = format!("`pve-smbgateway share list {gateway}` shows those there are");
    match (name, shares) {
        (None, [only]) => Ok(only),
        (None, []) => {
            Err(Error::resource("no-such-share", format!("gateway {gateway} has no share")).hint(hint))
        }
        (None, _) => Err(Error::usage("share-unnamed", format!("gateway {gateway} has several shares"))
            .hint(format!("say which one: --share NAME; {hint}"))),
        (Some(name), shares) => shares.iter_mut().find(|share| share.name.same(name)).ok_or_else(|| {
            Error::resource("no-such-share", format!("gateway {gateway} has no share {name}")).hint(hint)
        }),
    }
}

/// A share with a quota, as it is now.
struct Seen<'a> {
    share: &'a Share,
    quota: Quota,
    /// What the file system enforces.
    enforced: Option<u64>,
    used: u64,
    mechanism: String,
    /// Clients see it by the file system alone.
    shows: bool,
}

/// Shares of a gateway with a quota.
fn look(record: &Record) -> Vec<(&Share, Result<Seen<'_>>)> {
    let with_quota =
        record.spec.shares.iter().filter_map(|share| Some((share, share.quota?, share.directory()?)));
    let seen = with_quota.map(|(share, quota, path)| {
        let runner = System::new();
        let seen = match quota.mode {
            QuotaMode::Report => quota::measure(&runner, path).map(|used| Seen {
                share,
                quota,
                enforced: None,
                used,
                mechanism: "only reported".to_owned(),
                shows: false,
            }),
            QuotaMode::Enforce => quota::look(&runner, path).map(|facts| Seen {
                share,
                quota,
                enforced: facts.limit,
                used: facts.used,
                shows: facts.mechanism.as_ref().is_ok_and(quota::Mechanism::shows),
                mechanism: facts
                    .mechanism
                    .map_or_else(|lacking| lacking.why, |mechanism| mechanism.to_string()),
            }),
        };
        (share, seen)
    });
    seen.collect()
}

/// Gateways of this node that are finished.
fn here(context: &Context, name: Option<&GatewayName>) -> Result<Vec<Record>> {
    let records = match name {
        Some(name) => vec![context.platform.record(name)?.ok_or_else(|| record::missing(name))?],
        None => context.platform.records()?,
    };
    let mut here = Vec::new();
    for record in records {
        if record.state == RecordState::Active && context.platform.is_here(&record)? {
            here.push(record);
        }
    }
    Ok(here)
}

fn show(context: &Context, name: Option<&GatewayName>) -> Result<ExitCode> {
    let mut rows = Vec::new();
    for record in here(context, name)? {
        let history = History::read(&context.paths.usage(), record.name())?;
        for (share, seen) in look(&record) {
            let seen = seen.map_err(|error| {
                error.doing(format!("looking at share {} of {}", share.name, record.name()))
            })?;
            let limit = seen.quota.size.bytes();
            rows.push(QuotaRow {
                gateway: record.name().to_string(),
                share: share.name.to_string(),
                quota_bytes: limit,
                mode: seen.quota.mode.to_string(),
                enforced_bytes: seen.enforced,
                mechanism: seen.mechanism,
                used_bytes: seen.used,
                percent: quota::history::percent(seen.used, limit),
                days_until_full: history.days_until_full(&share.name, seen.used, limit),
                principal: None,
            });
        }
        for share in &record.spec.shares {
            rows.extend(of_users(&record, share).map_err(|error| {
                error.doing(format!("looking at the users of share {} of {}", share.name, record.name()))
            })?);
        }
    }
    context.output.data(&QuotaList { quotas: rows });
    Ok(ExitCode::SUCCESS)
}

/// Users and groups that have a quota on a share's file system.
fn of_users(record: &Record, share: &Share) -> Result<Vec<QuotaRow>> {
    let Some(path) = share.directory().filter(|_| !share.user_quotas.is_empty()) else {
        return Ok(Vec::new());
    };
    let facts = owner::look(&System::new(), path, Kinds::of(share.user_quotas.keys()))?;
    let row = |(principal, size): (&Principal, &ByteSize)| {
        let owner = Owner::of(principal, record.spec.id_of(principal)?);
        let holding = facts.holdings.get(&owner).copied().unwrap_or_default();
        Some(QuotaRow {
            gateway: record.name().to_string(),
            share: share.name.to_string(),
            principal: Some(principal.to_string()),
            quota_bytes: size.bytes(),
            mode: QuotaMode::Enforce.to_string(),
            enforced_bytes: holding.limit,
            mechanism: match &facts.realm {
                Ok(realm) => realm.to_string(),
                Err(lacking) => lacking.why.clone(),
            },
            used_bytes: holding.used,
            percent: quota::history::percent(holding.used, size.bytes()),
            days_until_full: None,
        })
    };
    Ok(share.user_quotas.iter().filter_map(row).collect())
}

/// Looks at all shares with a quota: writes their use down, warns where a level is passed, and tells the gateways, whose clients
/// are to see it.
fn refresh(context: &Context) -> Result<ExitCode> {
    let (mut results, mut code) = (Results { results: Vec::new(), changed: false }, 0);
    let records = context.platform.records()?;
    History::sweep(&context.paths.usage(), &records.iter().map(Record::name).collect::<Vec<_>>())?;
    for record in here(context, None)? {
        if record.spec.shares.iter().all(|share| share.quota.is_none()) {
            continue;
        }
        let name = record.name().to_string();
        results.results.push(match refresh_one(context, &record) {
            Ok(()) => ResultRow::done(name, "refreshed".to_owned(), 0),
            Err(error) => {
                code = code.max(error.category.exit_code());
                ResultRow::failed(name, &error)
            }
        });
    }
    context.output.data(&results);
    Ok(ExitCode::from(code))
}

fn refresh_one(context: &Context, record: &Record) -> Result<()> {
    let (directory, name) = (context.paths.usage(), record.name());
    let mut history = History::read(&directory, name)?;
    let now = context.entropy()?.now;
    let (mut failed, mut usage, mut kept) = (None, Usage { shares: Vec::new() }, Vec::new());
    for (share, seen) in look(record) {
        kept.push(&share.name);
        let seen = match seen {
            Ok(seen) => seen,
            Err(error) => {
                failed.get_or_insert(error.doing(format!("looking at share {}", share.name)));
                continue;
            }
        };
        let limit = seen.quota.size.bytes();
        if let Some(level) = history.note(&share.name, seen.used, limit, now) {
            warn(context, record, &seen, level);
        }
        if !seen.shows {
            usage.shares.push(ShareUsage { share: seen.share.name.clone(), used: seen.used });
        }
    }
    history.keep(&kept);
    history.write(&directory, name)?;
    // on Proxmox VE, both the question and the word to a virtual machine take a second each
    if !usage.shares.is_empty() && matches!(context.platform.guest_state(name)?, GuestState::Running { .. }) {
        context.world(Secrets::new()).agent(name)?.tell_usage(&usage)?;
    }
    failed.map_or(Ok(()), Err)
}

/// Says that a share has passed a level: on stderr, in syslog, and to the hook if there is one.
fn warn(context: &Context, record: &Record, seen: &Seen<'_>, level: u8) {
    let (name, share, limit) = (record.name(), &seen.share.name, seen.quota.size);
    let text = format!(
        "share {share} of gateway {name} is over {level} % of its quota: {} of {} bytes",
        seen.used,
        limit.bytes()
    );
    context.output.talk(&format!("warning: {text}"));
    // the service that watches gateways says it itself
    if UnixStream::connect(context.paths.monitor_socket()).is_err() {
        audit::syslog(audit::WARNING, &text);
    }
    let hook = context.paths.quota_hook();
    if hook.exists() {
        let words = [
            name.to_string(),
            share.to_string(),
            level.to_string(),
            seen.used.to_string(),
            limit.bytes().to_string(),
        ];
        let command = Command::new(hook.display().to_string()).args(words);
        if let Err(error) = System::with_interrupt(context.interrupt.clone()).run(&command) {
            context.output.talk(&format!("warning: the hook for quotas failed: {error}"));
        }
    }
}
