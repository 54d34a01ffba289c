//! Building a published template again from its manifest, and saying whether it is the same, file by file if not.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::build::{self, Context, Options, PackageOptions};
use crate::diff;
use crate::engine::Engine;
use crate::error::Error;
use crate::form::Form;
use crate::manifest::Manifest;
use crate::recipe::Recipe;
use crate::verify::load_manifest;
use crate::workdir::WorkDir;

/// What to build again, and with what.
#[derive(Debug, Clone)]
pub struct Request {
    /// The template, or its manifest alone.
    pub manifest: PathBuf,
    /// The recipe that it was built from.
    pub recipe: PathBuf,
    /// The agent's binary; beside the builder if `None`.
    pub agent: Option<PathBuf>,
    /// Another engine than it was built with.
    pub engine: Option<Engine>,
    /// Where packages come from.
    pub packages: PackageOptions,
    /// Where to leave what was built; nowhere if `None`.
    pub keep: Option<PathBuf>,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reproduced {
    /// Whether it is the same, bit for bit.
    pub same: bool,
    /// SHA-256 of the published template.
    pub expected: String,
    /// SHA-256 of what was built.
    pub built: String,
    /// The engine it was built with now.
    pub engine: Engine,
    /// What was not the same before anything was built: recipe, agent, versions, engine.
    pub causes: Vec<String>,
    /// Paths that differ, and how.
    pub paths: Vec<PathDifference>,
}

/// A path that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PathDifference {
    /// The path.
    pub path: String,
    /// What is wrong with it.
    pub how: String,
}

/// Builds it again.
///
/// # Errors
/// [`Error::NotIntact`] when the manifest does not say enough, and all of [`build::build`].
pub fn reproduce(request: &Request, context: &Context) -> Result<Reproduced, Error> {
    let published = load_manifest(&request.manifest)?;
    let unfit = |detail: &str| Error::NotIntact { path: request.manifest.clone(), detail: detail.to_owned() };
    let record = published.build.clone();
    let record = record
        .ok_or_else(|| unfit("its manifest does not say how it was built: an older builder wrote it"))?;
    if record.lock.hash() != published.lock_hash {
        return Err(unfit("the lock in its manifest is not the one that it names by hash"));
    }
    let form = [Form::Container, Form::Machine].into_iter().find(|form| form.name() == published.form);
    let form = form.ok_or_else(|| unfit("its manifest has a form that is not known"))?;
    let recipe = Recipe::load(&request.recipe)?;
    let engine = request.engine.unwrap_or(record.engine);
    let mut causes = Vec::new();
    if recipe.hash() != published.recipe_hash {
        causes.push(format!("{} is not the recipe that it was built from", request.recipe.display()));
    }
    if env!("CARGO_PKG_VERSION") != published.version {
        causes.push(format!(
            "this is version {}, it was built by {}",
            env!("CARGO_PKG_VERSION"),
            published.version
        ));
    }
    if engine != record.engine {
        causes.push(format!("built with the engine {}, then it was {}", engine.name(), record.engine.name()));
    }

    let work = WorkDir::create(0)?;
    let out = work.join("reproduced");
    let lock = work.join("lock.json");
    record.lock.save(&lock)?;
    let options = Options {
        recipe: request.recipe.clone(),
        out: out.clone(),
        agent: request.agent.clone(),
        packages: PackageOptions {
            lock: Some(lock),
            update: false,
            engine,
            // a kept tree would be that of the first build
            fresh: true,
            ..request.packages.clone()
        },
        level: record.compression,
        forms: vec![form],
        record_sizes: false,
        sign: None,
    };
    let built = build::build(&options, context)?;
    let built = built.first().ok_or_else(|| Error::Tree("nothing was built".into()))?;
    let manifest = load_manifest(&built.manifest)?;
    if manifest.agent.sha256 != published.agent.sha256 {
        causes.push(format!(
            "the agent is {}, not {}",
            said(manifest.agent.version.as_deref(), &manifest.agent.sha256),
            said(published.agent.version.as_deref(), &published.agent.sha256)
        ));
    }
    let paths = differences(&published, &manifest);
    if let Some(keep) = &request.keep {
        copy(&out, keep)?;
    }
    Ok(Reproduced {
        same: manifest.archive.sha256 == published.archive.sha256,
        expected: published.archive.sha256,
        built: manifest.archive.sha256,
        engine,
        causes,
        paths,
    })
}

/// Every path that is not the same in both, sorted.
fn differences(published: &Manifest, built: &Manifest) -> Vec<PathDifference> {
    let files = diff::files(&published.files, &built.files);
    let say = |path: &str, how: String| PathDifference { path: path.to_owned(), how };
    let mut found: Vec<PathDifference> =
        files.added.iter().map(|new| say(&new.path, "was not there".into())).collect();
    found.extend(files.removed.iter().map(|old| say(&old.path, "is missing now".into())));
    found.extend(files.changed.iter().map(|change| {
        let aspects: Vec<&str> = change.what.iter().map(|aspect| aspect.word()).collect();
        say(&change.new.path, format!("differs in {}", aspects.join(", ")))
    }));
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn said(version: Option<&str>, sha256: &str) -> String {
    let short = sha256.get(..12).unwrap_or(sha256);
    version.map_or_else(|| short.to_owned(), |version| format!("{version} ({short})"))
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to).map_err(Error::io("making", to))?;
    for entry in fs::read_dir(from).map_err(Error::io("listing", from))?.flatten() {
        let target = to.join(entry.file_name());
        fs::copy(entry.path(), &target).map_err(Error::io("writing", target))?;
    }
    Ok(())
}
