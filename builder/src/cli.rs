//! The command line. stdout is data, stderr is talk.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;
use serde_json::json;
use smbgw_command::Interrupt;

use crate::build::{self, Built, Context, Options, PackageOptions, megabytes};
use crate::engine::{Engine, unpack};
use crate::error::Error;
use crate::fetch;
use crate::form::Form;
use crate::inspect;
use crate::progress::Progress;
use crate::sign::KeyFile;
use crate::tarball::Level;

mod diff;
mod key;
mod reproduce;
mod size;
mod verify;

/// Builds SMB gateway templates from Debian packages: small, checked, and the same bytes every time.
#[derive(Debug, Parser)]
#[command(name = "smbgw-builder", version, propagate_version = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 our fault, 2 usage or invalid recipe, 3 mirror or program missing, \
                        4 file missing or disk full, 10 compared and not the same (reproduce, diff --exit-code), 130 interrupted."
)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build a template, from the recipe's lock if it has one
    Build(BuildArgs),
    /// Choose package versions anew and write them to the lock
    Lock(LockArgs),
    /// Show what is in a template
    Inspect(TemplateArgs),
    /// Check every file of a template against its manifest
    Verify(verify::VerifyArgs),
    /// Build a template again from its manifest, and say whether it is the same
    Reproduce(reproduce::ReproduceArgs),
    /// The part of a build that runs in namespaces of its own
    #[command(hide = true)]
    Inside(InsideArgs),
    /// Make keys that sign templates
    Key(key::KeyArgs),
    /// Show what makes a template big, and what made it bigger
    Size(size::SizeArgs),
    /// Compare two templates: packages, agent, sizes and files
    Diff(diff::DiffArgs),
}

#[derive(Debug, Args)]
struct BuildArgs {
    /// Recipe, images/debian-13.yaml for one
    recipe: PathBuf,
    /// Form of the template; repeat it, or separate by commas, for both at once
    #[arg(long, value_enum, default_value = "lxc", value_delimiter = ',')]
    format: Vec<Format>,
    /// Directory for the template and what belongs to it
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// The agent's binary [default: this program's own]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// Choose package versions anew first
    #[arg(long, conflicts_with = "offline")]
    update: bool,
    /// Use no network: lock and packages must be there
    #[arg(long)]
    offline: bool,
    /// What installs the packages; both make the same template
    #[arg(long, value_enum, default_value_t)]
    engine: Engine,
    /// Give a mirror up when nothing came for so long, three times
    #[arg(long, value_name = "N", default_value_t = fetch::STALL.as_secs(), value_parser = clap::value_parser!(u64).range(1..=3600))]
    stall_seconds: u64,
    /// Compress as small as possible, for a release
    #[arg(long)]
    release: bool,
    /// Write sizes to RECIPE.sizes.json beside the recipe, which later builds are compared with
    #[arg(long)]
    record_sizes: bool,
    /// Sign manifest and SHA256SUMS with this secret key of minisign
    #[arg(long, value_name = "KEYFILE")]
    sign: Option<PathBuf>,
    /// The key is encrypted, with the password in this file's only line
    #[arg(long, value_name = "FILE", requires = "sign")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    packages: PackageArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct LockArgs {
    /// Recipe, images/debian-13.yaml for one
    recipe: PathBuf,
    #[command(flatten)]
    packages: PackageArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct PackageArgs {
    /// Lock file [default: RECIPE.lock.json beside the recipe if it exists, else in the cache]
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
    /// Directory for packages, locks and installed trees [default: ~/.cache/smbgw-builder, root: /var/cache/smbgw-builder]
    #[arg(long, value_name = "DIR", env = "SMBGW_BUILDER_CACHE")]
    cache: Option<PathBuf>,
    /// Mirror in place of the recipe's: the part of the address before /debian; {archive} stands for that name elsewhere
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
}

#[derive(Debug, Args)]
struct InsideArgs {
    /// What to do, written by the builder
    order: PathBuf,
}

#[derive(Debug, Args)]
struct TemplateArgs {
    /// The .tar.zst or .qcow2, with its manifest beside it
    template: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Container root file system (.tar.zst)
    Lxc,
    /// Virtual machine disk (.qcow2)
    Qcow2,
}

impl From<Format> for Form {
    fn from(format: Format) -> Self {
        match format {
            Format::Lxc => Self::Container,
            Format::Qcow2 => Self::Machine,
        }
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let interrupt = Interrupt::new();
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // the second one ends the program at once; the order of these two matters
        let at_once = signal_hook::flag::register_conditional_default(signal, interrupt.flag());
        if at_once.and_then(|_| signal_hook::flag::register(signal, interrupt.flag())).is_err() {
            Progress::Plain
                .say("warning: Ctrl-C cannot be caught here; a stopped build will leave its work directory");
        }
    }
    let context = Context { interrupt, progress: Progress::for_stderr() };
    let (json, outcome) = match &cli.verb {
        Verb::Build(args) => (args.json, run_build(args, &context)),
        Verb::Lock(args) => (args.json, run_lock(args, &context)),
        Verb::Inspect(args) => (args.json, run_inspect(args)),
        Verb::Reproduce(args) => (args.json, reproduce::run(args, &context)),
        Verb::Inside(args) => {
            (false, unpack::inside::run(&args.order).map(|()| Answer::new(&(), String::new())))
        }
        Verb::Verify(args) => (args.json, args.run()),
        Verb::Size(args) => (args.json, args.run()),
        Verb::Key(args) => (args.json(), args.run()),
        Verb::Diff(args) => (args.json, diff::run(args)),
    };
    match outcome {
        Ok(answer) => {
            let text =
                if json { pretty(&json!({"success": true, "data": answer.data})) } else { answer.text };
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::from(answer.exit_code)
        }
        Err(error) => ExitCode::from(report(&error, json)),
    }
}

/// What a verb answers, in both forms.
struct Answer {
    data: serde_json::Value,
    text: String,
    /// 0, but for what a verb's help says.
    exit_code: u8,
}

/// The exit code of a comparison that found differences.
const DIFFERS: u8 = 10;

impl Answer {
    fn new(data: &impl Serialize, text: String) -> Self {
        Self { data: serde_json::to_value(data).unwrap_or_default(), text, exit_code: 0 }
    }

    fn differs(self) -> Self {
        Self { exit_code: DIFFERS, ..self }
    }
}

fn run_build(args: &BuildArgs, context: &Context) -> Result<Answer, Error> {
    let mut packages = args.packages.options();
    (packages.update, packages.offline, packages.engine) = (args.update, args.offline, args.engine);
    packages.stall = Duration::from_secs(args.stall_seconds);
    // named twice is built once, and the container first: the virtual machine is installed on its packages
    let forms: BTreeSet<Form> = args.format.iter().map(|format| Form::from(*format)).collect();
    let options = Options {
        recipe: args.recipe.clone(),
        out: args.out.clone(),
        agent: args.agent.clone(),
        packages,
        level: if args.release { Level::Release } else { Level::Quick },
        forms: forms.into_iter().collect(),
        record_sizes: args.record_sizes,
        sign: args.sign.clone().map(|key| KeyFile { key, password: args.password_file.clone() }),
    };
    let templates = build::build(&options, context)?;
    let text = templates.iter().map(describe).collect::<Vec<_>>().join("\n");
    let first = templates.first();
    Ok(Answer::new(&AllBuilt { first, templates: &templates }, text))
}

/// The first template's fields, as they were when there was but one form, and all templates.
#[derive(Serialize)]
struct AllBuilt<'a> {
    #[serde(flatten)]
    first: Option<&'a Built>,
    templates: &'a [Built],
}

fn describe(built: &Built) -> String {
    let signed = built.key_id.as_ref().map(|id| format!("\n  signed with key {id}")).unwrap_or_default();
    format!(
        "{}\n  {:.1} MB, {:.1} MB unpacked, {} packages, Samba {}\n  sha256 {}\n  lock   {}{signed}",
        built.template.display(),
        megabytes(built.size),
        megabytes(built.unpacked_size),
        built.packages,
        built.samba.as_deref().unwrap_or("none"),
        built.sha256,
        built.lock.display(),
    )
}

fn run_lock(args: &LockArgs, context: &Context) -> Result<Answer, Error> {
    let (place, lock) = build::make_lock(&args.recipe, &args.packages.options(), context)?;
    let bytes: u64 = lock.packages.iter().map(|package| package.size).sum();
    let text = format!(
        "{}\n  {} packages, {:.1} MB to fetch",
        place.display(),
        lock.packages.len(),
        megabytes(bytes)
    );
    let data = json!({"lock": place, "packages": lock.packages.len(), "bytes": bytes, "epoch": lock.epoch});
    Ok(Answer::new(&data, text))
}

fn run_inspect(args: &TemplateArgs) -> Result<Answer, Error> {
    const SHOWN: usize = 15;
    let found = inspect::inspect(&args.template)?;
    let made = jiff::Timestamp::from_second(found.epoch).unwrap_or_default();
    let mut text = format!(
        "{} {} ({}, {}, {})\n  packages as of {made}\n  Samba {}, agent {}\n  {:.1} MB, {:.1} MB unpacked, {} packages, {} paths\n  sha256 {}",
        found.template,
        found.version,
        found.form,
        found.suite,
        found.architecture,
        found.samba.as_deref().unwrap_or("none"),
        found.agent.as_deref().unwrap_or("of unknown version"),
        megabytes(found.size),
        megabytes(found.unpacked_size),
        found.packages,
        found.paths,
        found.sha256,
    );
    for (name, size) in found.by_package.iter().take(SHOWN) {
        text.push_str(&format!("\n  {:>7.1} MB  {name}", megabytes(*size)));
    }
    Ok(Answer::new(&found, text))
}

impl PackageArgs {
    fn options(&self) -> PackageOptions {
        PackageOptions {
            lock: self.lock.clone(),
            update: false,
            offline: false,
            fresh: false,
            engine: Engine::default(),
            cache: self.cache.clone().unwrap_or_else(default_cache),
            mirror: self.mirror.clone(),
            stall: fetch::STALL,
        }
    }
}

fn default_cache() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/cache/smbgw-builder");
    }
    variable("XDG_CACHE_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(|| PathBuf::from("/var/tmp"))
        .join("smbgw-builder")
}

/// Tells the error and gives its exit code.
fn report(error: &Error, json: bool) -> u8 {
    let category = error.category();
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    let hint = error.hint();
    if json {
        let answer = json!({
            "success": false,
            "error": {"category": category.name(), "code": category.exit_code(), "message": message, "hint": hint},
        });
        let _ = writeln!(std::io::stdout(), "{}", pretty(&answer));
    }
    let _ = writeln!(std::io::stderr(), "error: {message}");
    if let Some(hint) = hint {
        let _ = writeln!(std::io::stderr(), "hint: {hint}");
    }
    category.exit_code()
}

fn pretty(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn help_of_every_verb() {
        let mut command = Cli::command().term_width(100);
        let mut text = command.render_long_help().to_string();
        for verb in ["build", "lock", "inspect", "verify", "reproduce", "diff", "key", "size"] {
            let mut verb = command.find_subcommand(verb).unwrap().clone().term_width(100);
            text.push_str(&format!("\n--- {}\n{}", verb.get_name().to_owned(), verb.render_help()));
        }
        insta::assert_snapshot!("help", text);
    }

    #[test]
    fn forms_are_repeated_or_separated_by_commas() {
        let forms = |arguments: &[&str]| {
            let cli = Cli::try_parse_from(["smbgw-builder", "build", "r.yaml"].iter().chain(arguments));
            match cli.map(|cli| cli.verb) {
                Ok(Verb::Build(args)) => args.format,
                _ => vec![],
            }
        };
        assert_eq!(forms(&[]), [Format::Lxc]);
        assert_eq!(forms(&["--format", "lxc,qcow2"]), [Format::Lxc, Format::Qcow2]);
        assert_eq!(forms(&["--format", "qcow2", "--format", "lxc"]), [Format::Qcow2, Format::Lxc]);
        assert!(Cli::try_parse_from(["smbgw-builder", "build", "r.yaml", "--format", "raw"]).is_err());
        assert!(Cli::try_parse_from(["smbgw-builder", "build", "r.yaml", "--update", "--offline"]).is_err());
    }
}
