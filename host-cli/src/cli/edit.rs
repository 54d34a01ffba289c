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
    /// As in [`plan::change::Wish`].
    pub(super) domain: plan::change::DomainWish,
}

impl<'a> Edit<'a> {
    /// An edit as most are.
    pub(super) fn of(verb: &'static str, gateway: &'a GatewayName, dry_run: bool) -> Self {
        Self { verb, gateway, dry_run, force: false, domain: plan::change::DomainWish::AsSaid }
    }
}

/// What an edit asks for beside the new spec.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Users whose password is set.
    pub(super) with_password: BTreeSet<smbgw_api::UserName>,
    /// What a person should know.
    pub(super) notes: Vec<String>,
}

/// What came of an edit.
pub(super) struct Done {
    /// `changed` or `unchanged`.
    pub(super) action: &'static str,
    /// Operation; none when there was nothing to do.
    pub(super) operation: Option<String>,
    /// Time it took, in milliseconds.
    pub(super) took_ms: u64,
    /// What a person should know.
    pub(super) notes: Vec<String>,
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
        let name = self.gateway.to_string();
        let asked = Asked { with_password: with_password.clone(), notes: Vec::new() };
        let done = self.perform(context, |spec| change(spec).map(|()| asked), |_| secrets())?;
        if let Some(done) = done {
            context.output.data(&Changed {
                name,
                action: done.action.to_owned(),
                operation: done.operation,
                took_ms: done.took_ms,
                address: None,
                notes: done.notes,
            });
        }
        Ok(ExitCode::SUCCESS)
    }

    /// As [`Self::run`], where the edit decides whose passwords are set; says what came of it, but for a dry run, which is
    /// shown.
    pub(super) fn perform(
        self,
        context: &Context,
        change: impl FnOnce(&mut GatewaySpec) -> Result<Asked>,
        secrets: impl FnOnce(&Asked) -> Result<Secrets>,
    ) -> Result<Option<Done>> {
        let platform = &*context.platform;
        let _lock = platform.lock(self.gateway)?;
        operation::refuse_unfinished(context, self.gateway.as_str())?;
        let record = platform.record(self.gateway)?.ok_or_else(|| record::missing(self.gateway))?;
        let mut spec = record.spec.clone();
        let asked = change(&mut spec)?;
        spec.check()?;
        let observed = Observed::look(platform, Some(&mut spec))?;
        let running = platform.guest_state(self.gateway)?;
        let (with_password, force) = (&asked.with_password, self.force);
        let mut plan = plan::change::plan(
            &|what| platform.by_hand(what),
            plan::change::Wish { verb: self.verb, spec, with_password, force, domain: self.domain },
            running,
            &observed,
            context.entropy()?,
        )?;
        plan.notes.extend(asked.notes.iter().cloned());
        if self.dry_run {
            show_plan(context, &plan);
            return Ok(None);
        }
        let unchanged = plan.steps.is_empty();
        let secrets = if unchanged { Secrets::new() } else { secrets(&asked)? };
        let notes = plan.notes.clone();
        let report = operation::run(context, plan, secrets)?;
        Ok(Some(Done {
            action: if unchanged { "unchanged" } else { "changed" },
            operation: report.operation.map(|id| id.to_string()),
            took_ms: report.took_ms,
            notes,
        }))
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
