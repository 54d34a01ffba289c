//! `apply`

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use smbgw_api::{Intent, Manifest, ManifestEntry, UserName};

use super::args::ApplyArgs;
use crate::operation::{self, Context, Secrets};
use crate::output::view::{ResultRow, Results};
use crate::plan::{self, Observed, Plan};
use crate::{Category, Error, Result, joiner, password};

/// Largest manifest that is read.
const MAX_MANIFEST: u64 = 8 << 20;
/// How often a plan is made anew when another operation took the address that it chose.
const TRIES: usize = 20;

pub(super) fn run(context: &Context, args: &ApplyArgs) -> Result<ExitCode> {
    let manifest = read(&args.file)?;
    let who = if args.joiner.password.is_given() { Some(joiner::account(&args.joiner)?) } else { None };
    let context = &context.with_joiner(who);
    let secrets = match &args.passwords_file {
        Some(path) => password::read_many(path)?,
        None => Secrets::new(),
    };
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(vec![None; manifest.gateways.len()]);
    let worst = Mutex::new(0u8);
    std::thread::scope(|scope| {
        for _ in 0..args.parallel {
            scope.spawn(|| {
                while let Some(entry) = {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    manifest.gateways.get(index).map(|entry| (index, entry))
                } {
                    let (index, entry) = entry;
                    let row = one(context, entry, &secrets, args.dry.dry_run).unwrap_or_else(|error| {
                        let mut worst = lock(&worst);
                        *worst = (*worst).max(error.category.exit_code());
                        ResultRow::failed(entry.spec.name.to_string(), &error)
                    });
                    lock(&rows)[index] = Some(row);
                }
            });
        }
    });
    let results: Vec<_> = lock(&rows).drain(..).flatten().collect();
    let quiet = ["unchanged", "absent", "failed"];
    let changed = !args.dry.dry_run && results.iter().any(|row| !quiet.contains(&row.action.as_str()));
    for row in &results {
        if let Some(error) = &row.error {
            let hint = error.hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
            context.output.talk(&format!("{}: error: {}{hint}", row.name, error.message));
        }
    }
    context.output.data(&Results { results, changed });
    let code = *lock(&worst);
    Ok(ExitCode::from(code))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn read(path: &Path) -> Result<Manifest> {
    let reading = |source| {
        Error::usage("manifest-unreadable", format!("{} cannot be read", path.display())).source(source)
    };
    let mut text = String::new();
    if path.as_os_str() == "-" {
        std::io::stdin().take(MAX_MANIFEST).read_to_string(&mut text).map_err(reading)?;
    } else {
        std::fs::File::open(path)
            .map_err(reading)?
            .take(MAX_MANIFEST)
            .read_to_string(&mut text)
            .map_err(reading)?;
    }
    let manifest: Manifest = serde_yaml::from_str(&text).map_err(|source| {
        Error::usage("manifest-invalid", format!("{} is not a manifest", path.display()))
            .hint("docs/manifest.md has every field; `pve-smbgateway show NAME` prints an example")
            .source(source)
    })?;
    manifest.check()?;
    Ok(manifest)
}

fn one(context: &Context, entry: &ManifestEntry, secrets: &Secrets, dry_run: bool) -> Result<ResultRow> {
    if context.interrupt.is_set() {
        return Err(Error::new(Category::Interrupted, "interrupted", "not begun: interrupted"));
    }
    let name = &entry.spec.name;
    let _lock = context.platform.lock(name)?;
    operation::refuse_unfinished(context, name.as_str())?;
    let mut tries = 0;
    loop {
        tries += 1;
        let (plan, action) = plan(context, entry, secrets)?;
        if plan.steps.is_empty() {
            return Ok(ResultRow::done(name.to_string(), action, 0));
        }
        if dry_run {
            let row = ResultRow::done(name.to_string(), format!("would be {action}"), 0);
            return Ok(ResultRow { steps: super::dry(&plan).steps, ..row });
        }
        let secrets = secrets.iter().filter(|((gateway, _), _)| gateway == name);
        let secrets = secrets.map(|(key, secret)| (key.clone(), secret.clone())).collect();
        match operation::run(context, plan, secrets) {
            // another gateway took the address between planning and reserving: choose again
            Err(error) if error.code == "address-taken" && tries < TRIES => {}
            Err(error) => return Err(error),
            Ok(report) => return Ok(ResultRow::done(name.to_string(), action, report.took_ms)),
        }
    }
}

fn plan(context: &Context, entry: &ManifestEntry, secrets: &Secrets) -> Result<(Plan, &'static str)> {
    let platform = &*context.platform;
    let name = &entry.spec.name;
    let record = platform.record(name)?;
    let empty = |verb| Plan {
        verb,
        target: name.to_string(),
        steps: Vec::new(),
        notes: Vec::new(),
        details: Vec::new(),
    };
    let entropy = context.entropy()?;
    match (entry.intent, record) {
        (Intent::Removed, None) => Ok((empty("delete"), "absent")),
        (Intent::Removed, Some(_)) => {
            let observed = Observed::look(platform, None)?;
            platform.review_removal(name)?;
            let (running, keep) = (platform.guest_state(name)?, context.joiner.is_none());
            let plan = plan::delete::plan(name, running, keep, &observed, entropy)?;
            super::delete::can_leave(context, name, &plan)?;
            Ok((plan, "deleted"))
        }
        (Intent::Present, record) => {
            let mut spec = entry.spec.clone();
            let observed = Observed::look(platform, Some(&mut spec))?;
            let known = |user: &UserName| {
                record.as_ref().is_some_and(|r| r.spec.users.iter().any(|u| u.name == *user))
            };
            // passwords are set for users who are new; `user passwd` changes those of others
            let with_password: BTreeSet<_> = entry
                .spec
                .users
                .iter()
                .map(|user| user.name.clone())
                .filter(|user| !known(user) && secrets.contains_key(&(name.clone(), user.clone())))
                .collect();
            if record.is_none() {
                let plan = plan::create::plan(
                    &|what| platform.by_hand(what),
                    spec,
                    &with_password,
                    &observed,
                    entropy,
                )?;
                return Ok((plan, "created"));
            }
            spec.template = spec.template.or_else(|| record.as_ref().and_then(|r| r.spec.template.clone()));
            let state = platform.guest_state(name)?;
            let plan = plan::change::plan(
                &|what| platform.by_hand(what),
                plan::change::Wish {
                    verb: "apply",
                    spec,
                    with_password: &with_password,
                    force: false,
                    domain: plan::change::DomainWish::AsSaid,
                },
                state,
                &observed,
                entropy,
            )?;
            let action = if plan.steps.is_empty() { "unchanged" } else { "changed" };
            Ok((plan, action))
        }
    }
}
