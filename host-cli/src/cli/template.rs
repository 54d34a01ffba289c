//! `template`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use smbgw_api::{StorageId, TemplateName};
use smbgw_command::{Command, CommandError, Streams, System};

use super::args::TemplateVerb;
use super::show_plan;
use crate::operation::{self, Context, Secrets};
use crate::output::view::{Changed, ResultRow, Results, TemplateList, Verified};
use crate::plan::Plan;
use crate::platform::{Form, Template, choose_template};
use crate::step::{InstallTemplate, RemoveTemplate};
use crate::{Category, Error, Result, durable, world};

/// Where recipes are looked for by name.
const RECIPES: &[&str] = &["images", "/usr/share/pve-smbgateway/images"];
/// A cold build takes about half a minute; a slow mirror may take far longer.
const BUILD_DEADLINE: Duration = Duration::from_secs(3600);

pub(super) fn run(context: &Context, verb: TemplateVerb) -> Result<ExitCode> {
    match verb {
        TemplateVerb::List => {
            context.output.data(&TemplateList { templates: context.platform.templates()? });
            Ok(ExitCode::SUCCESS)
        }
        TemplateVerb::Install { file, storage, dry } => {
            install(context, &file, storage.as_ref(), dry.dry_run)
        }
        TemplateVerb::Build { recipe, out, mode, offline, storage } => {
            build(context, &recipe, out, &mode, offline, storage.as_ref())
        }
        TemplateVerb::Verify { name } => verify(context, &name),
        TemplateVerb::Prune { all, dry } => prune(context, all, dry.dry_run),
    }
}

fn install(context: &Context, file: &Path, storage: Option<&StorageId>, dry_run: bool) -> Result<ExitCode> {
    let file = std::path::absolute(file)
        .map_err(|source| Error::io(format!("finding {}", file.display()), source))?;
    context.platform.require_writable()?;
    let before = context.platform.templates()?;
    let step = InstallTemplate { file: file.clone(), storage: storage.cloned(), now: world::now() };
    let target = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let plan = Plan {
        verb: "template install",
        target: target.clone(),
        steps: vec![step.into()],
        notes: Vec::new(),
        details: Vec::new(),
    };
    if dry_run {
        return Ok(show_plan(context, &plan));
    }
    let report = operation::run(context, plan, Secrets::new())?;
    let after = context.platform.templates()?;
    let new = after.iter().find(|template| !before.contains(template));
    context.output.data(&Changed {
        name: new.map_or(target, |template| template.name.clone()),
        action: if new.is_some() { "installed" } else { "unchanged" }.to_owned(),
        operation: report.operation.map(|id| id.to_string()),
        took_ms: report.took_ms,
        address: None,
        notes: Vec::new(),
    });
    Ok(ExitCode::SUCCESS)
}

/// Runs the builder, which lies beside this program, and installs what it made.
fn build(
    context: &Context,
    recipe: &Path,
    out: Option<PathBuf>,
    forms: &[Form],
    offline: bool,
    storage: Option<&StorageId>,
) -> Result<ExitCode> {
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(|source| Error::io(format!("finding {}", path.display()), source))
    };
    let recipe = absolute(&find_recipe(recipe)?)?;
    let kept = out.is_some();
    let out = match out {
        Some(out) => absolute(&out)?,
        None => context.paths.state().join("build"),
    };
    durable::make_directory(&out, 0o755)?;
    let mut command = Command::new(builder().display().to_string())
        .args(["build", &recipe.display().to_string(), "--out", &out.display().to_string(), "--json"])
        .args(["--format", &formats(forms)])
        .deadline(BUILD_DEADLINE);
    if offline {
        command = command.arg("--offline");
    }
    let output = context.output;
    // its error comes as JSON as well, and is printed once, by us
    let tell = move |line: &str| {
        if !line.starts_with("error: ") && !line.starts_with("hint: ") {
            output.talk(line);
        }
    };
    let streams = Streams { on_stderr_line: Some(Box::new(tell)), ..Streams::default() };
    let runner = System::with_interrupt(context.interrupt.clone());
    let built = runner.run_streaming(&command, streams).map_err(build_failed);
    let built = built.and_then(|answer| archives(&answer.stdout, &out));
    let result = built.and_then(|files| {
        files.iter().try_fold(ExitCode::SUCCESS, |_, file| install(context, file, storage, false))
    });
    if !kept {
        durable::remove_tree(&out)?;
    }
    result
}

/// A recipe by path, or by name: from the checkout that we are in, else the package's.
fn find_recipe(recipe: &Path) -> Result<PathBuf> {
    let name = format!("{}.yaml", recipe.display());
    let named = RECIPES.iter().map(|directory| Path::new(directory).join(&name));
    std::iter::once(recipe.to_owned()).chain(named).find(|path| path.is_file()).ok_or_else(|| {
        Error::resource("recipe-missing", format!("there is no recipe {}", recipe.display()))
            .hint(format!("give its file, or the name of one in {}", RECIPES.join(" or ")))
    })
}

fn builder() -> PathBuf {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("smbgw-builder")));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| "smbgw-builder".into())
}

/// The builder's error as ours: same category, message and hint.
fn build_failed(error: CommandError) -> Error {
    #[derive(serde::Deserialize)]
    struct Answer {
        error: Said,
    }
    #[derive(serde::Deserialize)]
    struct Said {
        category: String,
        message: String,
        hint: Option<String>,
    }
    let CommandError::Failed { stdout, .. } = &error else { return error.into() };
    let Ok(Answer { error: said }) = serde_json::from_str(stdout) else { return error.into() };
    let category = match said.category.as_str() {
        "usage" => Category::Usage,
        "infrastructure" => Category::Infrastructure,
        "resource" => Category::Resource,
        "interrupted" => Category::Interrupted,
        _ => Category::Internal,
    };
    let built = Error::new(category, "template-build", said.message);
    match said.hint {
        Some(hint) => built.hint(hint),
        None => built,
    }
}

/// The builder's words for forms.
fn formats(forms: &[Form]) -> String {
    let word = |form: &Form| match form {
        Form::Container => "lxc",
        Form::Machine => "qcow2",
    };
    forms.iter().map(word).collect::<Vec<_>>().join(",")
}

/// The archives that the builder's JSON names.
fn archives(json: &[u8], out: &Path) -> Result<Vec<PathBuf>> {
    let odd = || Error::internal("the builder's answer does not name the template it made");
    let value: serde_json::Value = serde_json::from_slice(json).map_err(|source| odd().source(source))?;
    let built = value.pointer("/data/templates").and_then(serde_json::Value::as_array).ok_or_else(odd)?;
    built
        .iter()
        .map(|one| {
            let name = one["template"].as_str().ok_or_else(odd)?;
            Ok(out.join(Path::new(name).file_name().ok_or_else(odd)?))
        })
        .collect()
}

fn verify(context: &Context, name: &TemplateName) -> Result<ExitCode> {
    let templates = context.platform.templates()?;
    // an exact name says its form; a container's goes before a machine's, as in `create`
    let named = |template: &&Template| template.name == name.as_str() || template.base == name.as_str();
    let form = templates.iter().find(named).map_or(Form::Container, |template| template.form);
    let name = choose_template(&templates, name.as_str(), form)?.name.clone();
    let differences = context.platform.verify_template(&name)?;
    let code = if differences.is_empty() { 0 } else { Category::Resource.exit_code() };
    context.output.data(&Verified { name, differences });
    Ok(ExitCode::from(code))
}

fn prune(context: &Context, all: bool, dry_run: bool) -> Result<ExitCode> {
    context.platform.require_writable()?;
    let templates = context.platform.templates()?;
    let mut newest: Vec<&str> = Vec::new();
    let mut remove = Vec::new();
    for template in &templates {
        // each name's newest comes first
        let is_newest = !newest.contains(&template.base.as_str());
        newest.push(&template.base);
        if template.used_by.is_empty() && (all || !is_newest) {
            remove.push(template.name.clone());
        }
    }
    let steps = remove.iter().map(|name| RemoveTemplate { name: name.clone() }.into()).collect();
    let plan = Plan {
        verb: "template prune",
        target: "templates".to_owned(),
        steps,
        notes: Vec::new(),
        details: Vec::new(),
    };
    if dry_run {
        return Ok(show_plan(context, &plan));
    }
    operation::run(context, plan, Secrets::new())?;
    let row = |name: String| ResultRow::done(name, "removed", 0);
    let changed = !remove.is_empty();
    context.output.data(&Results { results: remove.into_iter().map(row).collect(), changed });
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builder_names_every_form() {
        let json = br#"{"success":true,"data":{"template":"o/a.tar.zst","templates":[{"template":"o/a.tar.zst"},{"template":"o/a.qcow2"}]}}"#;
        let out = Path::new("/out");
        assert_eq!(archives(json, out).unwrap(), [out.join("a.tar.zst"), out.join("a.qcow2")]);
        assert!(archives(br#"{"success":true,"data":{}}"#, out).is_err());
    }
}
