//! `smbgw-builder reproduce`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::{Answer, PackageArgs};
use crate::build::Context;
use crate::engine::Engine;
use crate::error::Error;
use crate::reproduce::{self, Reproduced, Request};

/// Paths that are listed for people.
const SHOWN: usize = 40;

/// Arguments of `reproduce`.
#[derive(Debug, Args)]
pub(super) struct ReproduceArgs {
    /// The template with its manifest beside it, or the manifest alone
    manifest: PathBuf,
    /// The recipe it was built from
    #[arg(long, value_name = "FILE")]
    recipe: PathBuf,
    /// The agent's binary [default: this program's own]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// Build with this engine [default: the one it was built with]
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// Use no network: packages must be in the store
    #[arg(long)]
    offline: bool,
    /// Leave what was built in this directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    #[command(flatten)]
    packages: PackageArgs,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Builds a template again and compares.
pub(super) fn run(args: &ReproduceArgs, context: &Context) -> Result<Answer, Error> {
    let mut packages = args.packages.options();
    packages.offline = args.offline;
    let request = Request {
        manifest: args.manifest.clone(),
        recipe: args.recipe.clone(),
        agent: args.agent.clone(),
        engine: args.engine,
        packages,
        keep: args.keep.clone(),
    };
    let found = reproduce::reproduce(&request, context)?;
    let answer = Answer::new(&found, text(&found));
    Ok(if found.same { answer } else { answer.differs() })
}

fn text(found: &Reproduced) -> String {
    if found.same {
        let mut text = format!("the same, bit for bit\n  sha256 {}", found.built);
        for cause in &found.causes {
            let _ = write!(text, "\n  although {cause}");
        }
        return text;
    }
    let mut text = format!("not the same\n  published {}\n  built now {}", found.expected, found.built);
    for cause in &found.causes {
        let _ = write!(text, "\n  {cause}");
    }
    match found.paths.len() {
        0 => text.push_str(
            "\n  every path has the same content, mode and owner: times, attributes or compression differ",
        ),
        count => {
            let _ = write!(text, "\n  {count} paths differ:");
        }
    }
    for difference in found.paths.iter().take(SHOWN) {
        let _ = write!(text, "\n    {} {}", difference.path, difference.how);
    }
    if found.paths.len() > SHOWN {
        let _ = write!(text, "\n    and {} more (--json lists all)", found.paths.len() - SHOWN);
    }
    text
}
