//! `doctor`

use std::process::ExitCode;

use super::args::DoctorArgs;
use crate::operation::{Context, audit, who};
use crate::output::view::Diagnosis;
use crate::platform::Verdict;
use crate::{Category, Result, world};

pub(super) fn run(context: &Context, args: &DoctorArgs) -> Result<ExitCode> {
    let mended = if args.fix { context.platform.mend()? } else { Vec::new() };
    if !mended.is_empty() {
        audit::write(
            context,
            &audit::Entry {
                time: world::now(),
                operation: String::new(),
                verb: "doctor --fix".to_owned(),
                target: "node".to_owned(),
                by: who::asks(),
                steps: mended.clone(),
                result: "done".to_owned(),
                error: None,
            },
        );
    }
    let mut findings = context.platform.diagnose()?;
    for recorded in crate::operation::recover::pending(context)? {
        findings.push(crate::platform::Finding {
            subject: "operations".to_owned(),
            verdict: Verdict::Bad,
            detail: format!("{} of {} is unfinished", recorded.header.verb, recorded.header.target),
            fix: Some(format!("pve-smbgateway ops recover {}", recorded.header.operation)),
        });
    }
    let lacking = findings.iter().any(|finding| finding.verdict >= Verdict::Mendable);
    context.output.data(&Diagnosis { platform: context.platform.name().to_owned(), findings, mended });
    Ok(ExitCode::from(if lacking { Category::Infrastructure.exit_code() } else { 0 }))
}
