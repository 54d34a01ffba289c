//! What all changing verbs on one gateway have in common: lock, look, edit the spec, plan, run.

use std::collections::BTreeSet;
use std::process::ExitCode;

use smbgw_api::{GatewayName, GatewaySpec};

use super::show_plan;
use crate::operation::{self, Context, Secrets};
use crate::output::view::Changed;
use crate::plan::{self, Observed};
use crate::{Result, record};

/// An edit of a gateway's spec.
pub(super) struct Edit<'a> {
    /// Verb for journal and audit.
    pub(super) verb: &'static str,
    /// Gateway.
    pub(super) gateway: &'a GatewayName,
    /// Only plan.
    pub(super) dry_run: bool,
    /// As in [`plan::change::Wish`].
    pub(super) force: bool,
}

impl Edit<'_> {
    /// Does it. `change` edits the spec; `secrets` is asked for passwords once the plan is known to work.
    pub(super) fn run(
        self,
        context: &Context,
        change: impl FnOnce(&mut GatewaySpec) -> Result<()>,
        with_password: &BTreeSet<smbgw_api::UserName>,
        secrets: impl FnOnce() -> Result<Secrets>,
    ) -> Result<ExitCode> {
        let platform = &*context.platform;
        let _lock = platform.lock(self.gateway)?;
        operation::refuse_unfinished(context, self.gateway.as_str())?;
        let record = platform.record(self.gateway)?.ok_or_else(|| record::missing(self.gateway))?;
        let mut spec = record.spec.clone();
        change(&mut spec)?;
        spec.check()?;
        let observed = Observed::look(platform, Some(&mut spec))?;
        let running = platform.guest_state(self.gateway)?;
        let plan = plan::change::plan(
            &|what| platform.by_hand(what),
            plan::change::Wish { verb: self.verb, spec, with_password, force: self.force },
            running,
            &observed,
            context.entropy()?,
        )?;
        if self.dry_run {
            return Ok(show_plan(context, &plan));
        }
        let secrets = if plan.steps.is_empty() { Secrets::new() } else { secrets()? };
        let unchanged = plan.steps.is_empty();
        let notes = plan.notes.clone();
        let report = operation::run(context, plan, secrets)?;
        context.output.data(&Changed {
            name: self.gateway.to_string(),
            action: if unchanged { "unchanged" } else { "changed" }.to_owned(),
            operation: report.operation.map(|id| id.to_string()),
            took_ms: report.took_ms,
            address: None,
            notes,
        });
        Ok(ExitCode::SUCCESS)
    }

    /// Does an edit that needs no passwords.
    pub(super) fn apply(
        self,
        context: &Context,
        change: impl FnOnce(&mut GatewaySpec) -> Result<()>,
    ) -> Result<ExitCode> {
        self.run(context, change, &BTreeSet::new(), || Ok(Secrets::new()))
    }
}
