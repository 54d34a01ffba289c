//! `delete`

use std::process::ExitCode;

use smbgw_api::GatewayName;

use super::args::DeleteArgs;
use super::show_plan;
use crate::operation::{self, Context, Secrets};
use crate::output::view::Changed;
use crate::plan::{self, Observed, Plan};
use crate::quota::history::History;
use crate::step::Step;
use crate::{Category, Error, Result, joiner};

pub(super) fn run(context: &Context, args: &DeleteArgs) -> Result<ExitCode> {
    let platform = &*context.platform;
    let _lock = platform.lock(&args.name)?;
    operation::refuse_unfinished(context, args.name.as_str())?;
    let observed = Observed::look(platform, None)?;
    platform.review_removal(&args.name)?;
    let running = platform.guest_state(&args.name)?;
    let plan = plan::delete::plan(&args.name, running, args.keep_account, &observed, context.entropy()?)?;
    if args.dry.dry_run {
        return Ok(show_plan(context, &plan));
    }
    let joined = leaves(&plan);
    can_leave(context, &args.name, &plan)?;
    let who = if joined {
        let hint =
            "give the password of an account that may (--ad-user, --ad-password-file), or say --keep-account";
        Some(
            joiner::account(&args.joiner)
                .map_err(|error| if error.code == "no-ad-password" { error.hint(hint) } else { error })?,
        )
    } else {
        None
    };
    let context = &context.with_joiner(who);
    let notes = plan.notes.clone();
    let report = operation::run(context, plan, Secrets::new())
        .map_err(|error| if joined { or_without_leaving(error) } else { error })?;
    if let Err(error) = History::remove(&context.paths.usage(), &args.name) {
        // the gateway is gone all the same; `quota refresh` tries again
        tracing::warn!(error = error.chain(), "what was noted of its shares' use is left");
    }
    context.output.data(&Changed {
        name: args.name.to_string(),
        action: "deleted".to_owned(),
        operation: report.operation.map(|id| id.to_string()),
        took_ms: report.took_ms,
        address: None,
        notes,
    });
    Ok(ExitCode::SUCCESS)
}

fn leaves(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| matches!(step, Step::LeaveDomain(_)))
}

/// Whether a gateway that is to leave its domain answers. One that does not could neither leave nor be put back.
pub(super) fn can_leave(context: &Context, name: &GatewayName, plan: &Plan) -> Result<()> {
    if !leaves(plan) {
        return Ok(());
    }
    let agent = context.world(Secrets::new()).agent(name);
    agent.and_then(|agent| agent.domain()).map(drop).map_err(or_without_leaving)
}

/// The domain, or the gateway, may be what is broken.
fn or_without_leaving(error: Error) -> Error {
    if !error.code.starts_with("ad-") && error.category != Category::Infrastructure {
        return error;
    }
    let hint = error.hint.clone().map(|hint| format!("{hint}; ")).unwrap_or_default();
    error.hint(format!(
        "{hint}or say --keep-account: the gateway goes, and its computer account stays in the domain"
    ))
}
