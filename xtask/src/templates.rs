//! Building templates with `smbgw-builder`. Its cache and what it builds stay in target/, so that the next run is fast.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use smbgw_lab::files;
use smbgw_lab::product::{IMAGE, image_in, template_in};

use crate::programs::{self, source, succeed, target};
use crate::say;

/// A built template.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    /// The `.tar.zst` or `.qcow2`.
    pub(crate) file: PathBuf,
    /// How long the build took.
    pub(crate) took: Duration,
    /// Size in bytes.
    pub(crate) size: u64,
}

/// How hard the templates are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// As for tests.
    Quick,
    /// As they are published.
    Release,
}

/// The directory of built templates; one of its own for each name.
pub(crate) fn directory(level: Level) -> PathBuf {
    target().join(match level {
        Level::Quick => "templates",
        Level::Release => "templates-release",
    })
}

/// The builder's cache.
pub(crate) fn cache() -> PathBuf {
    target().join("smbgw-cache")
}

/// The recipe of this name.
pub(crate) fn recipe(name: &str) -> PathBuf {
    source().join("images").join(format!("{name}.yaml"))
}

/// Builds one, with our cache, into `directory(level)/NAME`.
pub(crate) fn build(name: &str, level: Level) -> Result<Template> {
    place(name, name, level, &[], template_in)
}

/// Builds the form for virtual machines, with our cache, into `directory(level)/NAME-vm`.
pub(crate) fn build_image(name: &str, level: Level) -> Result<Template> {
    place(name, &format!("{name}{IMAGE}"), level, &["--format", "qcow2"], image_in)
}

/// Builds aside, then puts it in place if it changed: another run may be using the old one.
fn place(
    name: &str,
    folder: &str,
    level: Level,
    form: &[&str],
    find: fn(&Path, &str) -> Result<PathBuf>,
) -> Result<Template> {
    let out = directory(level).join(folder);
    let aside = directory(level).join(format!(".{folder}.{}", std::process::id()));
    let agent = programs::directory().join("smbgw-agent");
    let release = (level == Level::Release).then_some("--release");
    let more: Vec<&str> = form.iter().copied().chain(release).collect();
    say::step("template", format!("smbgw-builder build images/{name}.yaml {}", more.join(" ")).trim_end());
    let more: Vec<OsString> = more.into_iter().map(OsString::from).collect();
    let took = run_builder(name, &aside, &cache(), &agent, &more)?;
    let built = find(&aside, name)?;
    // the template, and what belongs to it: the same one may have a manifest that says more now
    let same = |old: &Path, new: &Path| files::sha256(old).ok() == files::sha256(new).ok();
    let unchanged = find(&out, name).is_ok_and(|old| same(&old, &built))
        && same(&out.join("SHA256SUMS"), &aside.join("SHA256SUMS"));
    if unchanged {
        fs::remove_dir_all(&aside)?;
    } else {
        let _ = fs::remove_dir_all(&out);
        fs::rename(&aside, &out).with_context(|| format!("putting {} in place", out.display()))?;
    }
    let file = find(&out, name)?;
    let size = fs::metadata(&file)?.len();
    say::line(&format!("{}: {} in {}", file.display(), say::megabytes(size), say::seconds(took)));
    Ok(Template { file, took, size })
}

/// Builds one into a directory of its own, with this cache.
pub(crate) fn build_into(name: &str, out: &Path, cache: &Path, more: &[OsString]) -> Result<Template> {
    build_with_agent(name, out, cache, &programs::directory().join("smbgw-agent"), more)
}

/// Builds the form for virtual machines into a directory of its own, with this cache.
pub(crate) fn build_image_into(name: &str, out: &Path, cache: &Path, more: &[OsString]) -> Result<Template> {
    let agent = programs::directory().join("smbgw-agent");
    let more: Vec<OsString> =
        ["--format".into(), "qcow2".into()].into_iter().chain(more.iter().cloned()).collect();
    let took = run_builder(name, out, cache, &agent, &more)?;
    let file = image_in(out, name)?;
    let size = fs::metadata(&file)?.len();
    Ok(Template { file, took, size })
}

/// Builds one with another agent.
pub(crate) fn build_with_agent(
    name: &str,
    out: &Path,
    cache: &Path,
    agent: &Path,
    more: &[OsString],
) -> Result<Template> {
    let took = run_builder(name, out, cache, agent, more)?;
    let file = template_in(out, name)?;
    let size = fs::metadata(&file)?.len();
    Ok(Template { file, took, size })
}

/// Builds into a directory that is empty then.
fn run_builder(name: &str, out: &Path, cache: &Path, agent: &Path, more: &[OsString]) -> Result<Duration> {
    if out.exists() {
        fs::remove_dir_all(out).with_context(|| format!("removing {}", out.display()))?;
    }
    fs::create_dir_all(out)?;
    fs::create_dir_all(cache)?;
    let mut command = Command::new(programs::directory().join("smbgw-builder"));
    command.arg("build").arg(recipe(name)).arg("--out").arg(out).arg("--cache").arg(cache);
    command.arg("--agent").arg(agent).args(more).current_dir(source());
    let ((), took) = say::timed(|| succeed(&mut command))?;
    Ok(took)
}
