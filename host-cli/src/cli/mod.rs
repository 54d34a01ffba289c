//! The command line: one file a verb, and one exhaustive match from verb to function.

pub mod args;

mod ad;
mod apply;
mod asking;
mod completions;
mod create;
mod delete;
mod doctor;
mod edit;
mod group;
mod import;
mod list;
mod man;
mod metrics;
mod ops;
mod power;
mod quota;
mod rates;
mod relay;
mod schema;
mod serve;
mod sessions;
mod set;
mod share;
mod show;
mod status;
mod template;
mod top;
mod user;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use smbgw_api::{DatasetName, Location, ShareName, StoragePlace};
use smbgw_command::Interrupt;
use smbgw_journal::Step as _;

use self::args::{Cli, PlaceArgs, PlatformName, Verb};
use crate::operation::Context;
use crate::output::Output;
use crate::output::view::{DryPlan, DryStep};
use crate::paths::Paths;
use crate::plan::Plan;
use crate::platform::Platform;
use crate::platform::native::WithNative;
use crate::platform::pve::{Pve, hook};
use crate::platform::standalone::{Standalone, machine};
use crate::{Error, Result};

/// The program: parses the command line, does the verb, prints the error if there is one.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap prints help to stdout and errors to stderr
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    log_to_stderr(if matches!(cli.verb, Verb::Serve(_)) { "info" } else { "warn" });
    let output = Output::new(cli.output, cli.quiet);
    match dispatch(cli, output) {
        Ok(code) => code,
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.category.exit_code())
        }
    }
}

/// Debug messages by `SMBGW_LOG=debug`; they hold no secrets, as commands and steps do not.
fn log_to_stderr(level: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("SMBGW_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

fn dispatch(cli: Cli, output: Output) -> Result<ExitCode> {
    // what needs neither root nor a platform
    match &cli.verb {
        Verb::Completions { shell } => return Ok(completions::run(*shell)),
        Verb::Man { directory } => return man::run(directory, output),
        Verb::Schema => return schema::run(output),
        Verb::Machine(args) => {
            machine::supervise(&Paths::default(), &args.name)?;
            return Ok(ExitCode::SUCCESS);
        }
        Verb::GuestHook(args) => {
            hook::run(&Paths::default(), args.id)?;
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let context = context(&cli, output)?;
    match cli.verb {
        Verb::Create(args) => create::run(&context, *args),
        Verb::List => list::run(&context),
        Verb::Status(args) => status::run(&context, &args.name),
        Verb::Metrics(args) => metrics::run(&context, &args),
        Verb::Top(args) => top::run(&context, &args),
        Verb::Sessions(verb) => sessions::run(&context, &verb),
        Verb::Show(args) => show::run(&context, &args.name),
        Verb::Set(args) => set::run(&context, args),
        Verb::Delete(args) => delete::run(&context, &args),
        Verb::Apply(args) => apply::run(&context, &args),
        Verb::Start(args) => power::start(&context, args),
        Verb::Stop(args) => power::stop(&context, args),
        Verb::Share(verb) => share::run(&context, verb),
        Verb::Ad(verb) => ad::run(&context, *verb),
        Verb::Quota(verb) => quota::run(&context, verb),
        Verb::User(verb) => user::run(&context, verb),
        Verb::Group(verb) => group::run(&context, verb),
        Verb::Template(verb) => template::run(&context, verb),
        Verb::Ops(verb) => ops::run(&context, verb),
        Verb::Doctor(args) => doctor::run(&context, &args),
        Verb::Serve(args) => serve::run(&context, &args),
        Verb::Relay(args) => relay::run(&context, &args),
        Verb::Completions { .. }
        | Verb::Man { .. }
        | Verb::Schema
        | Verb::Machine(_)
        | Verb::GuestHook(_) => Ok(ExitCode::SUCCESS),
    }
}

fn context(cli: &Cli, output: Output) -> Result<Context> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::infrastructure("not-root", "this needs root").hint("run it with sudo, or as root"));
    }
    let interrupt = Interrupt::new();
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, interrupt.flag())
            .map_err(|source| Error::io("listening for signals", source))?;
    }
    let paths = Paths::default();
    let inner: Arc<dyn Platform> = match cli.platform.unwrap_or_else(|| found(&paths)) {
        PlatformName::Pve => Arc::new(Pve::new(paths.clone(), interrupt.clone())),
        PlatformName::Standalone => Arc::new(Standalone::new(paths.clone(), interrupt.clone())),
    };
    let system = Arc::new(smbgw_command::System::with_interrupt(interrupt.clone()));
    let platform = Arc::new(WithNative::new(inner, paths.clone(), system));
    Ok(Context { platform, paths, interrupt, output, joiner: None })
}

/// The platform of this machine: a Proxmox VE node has `pct` and the cluster file system.
fn found(paths: &Paths) -> PlatformName {
    let has_pct = ["/usr/sbin/pct", "/usr/bin/pct"].iter().any(|path| std::path::Path::new(path).exists());
    // without its service, the link is not there, but a node of Proxmox VE it is
    if has_pct && paths.cluster().exists() { PlatformName::Pve } else { PlatformName::Standalone }
}

/// Where a share is that lies on a storage.
fn location(args: &PlaceArgs, share: &ShareName) -> Result<Option<Location>> {
    let Some(storage) = args.storage.clone() else { return Ok(None) };
    let dataset = match &args.dataset {
        Some(dataset) => dataset.clone(),
        None => DatasetName::parse(share.as_str())?,
    };
    Ok(Some(Location::Storage(StoragePlace { storage, dataset, create: args.create_dataset, path: None })))
}

/// Prints a plan instead of running it.
fn show_plan(context: &Context, plan: &Plan) -> ExitCode {
    context.output.data(&dry(plan));
    ExitCode::SUCCESS
}

fn dry(plan: &Plan) -> DryPlan {
    DryPlan {
        verb: plan.verb.to_owned(),
        target: plan.target.clone(),
        steps: plan
            .steps
            .iter()
            .map(|step| DryStep { label: step.label(), text: step.describe(), commits: step.commits() })
            .collect(),
        notes: plan.details.iter().chain(&plan.notes).cloned().collect(),
    }
}
