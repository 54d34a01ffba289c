//! `size`: what takes the space in a template, and what grew.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

use super::Answer;
use crate::build::megabytes;
use crate::error::Error;
use crate::size::{self, Report};

#[derive(Debug, Args)]
pub(super) struct SizeArgs {
    /// The .tar.zst or .qcow2, with its manifest beside it
    template: PathBuf,
    /// Another template, or the *.sizes.json beside a recipe: show what changed since
    #[arg(long, value_name = "OTHER")]
    against: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl SizeArgs {
    pub(super) fn run(&self) -> Result<Answer, Error> {
        let report = size::report(&self.template, self.against.as_deref())?;
        let text = text(&report);
        Ok(Answer::new(&report, text))
    }
}

pub(super) fn text(report: &Report) -> String {
    let Report { template, version, form, size, unpacked, packages, against } = report;
    let (size, files) = (megabytes(*size), megabytes(*unpacked));
    let mut text = format!("{template} {version} ({form}): {size:.1} MB, {files:.1} MB of files in it");
    for (name, size) in packages.biggest_first() {
        let _ = write!(text, "\n  {:>9.2} MB  {name}", megabytes(size));
    }
    if let Some(against) = against {
        let delta = size::growth::signed_megabytes(i128::from(*unpacked) - i128::from(against.unpacked));
        let before = megabytes(against.unpacked);
        let _ = write!(text, "\nagainst {}: {delta} of files, from {before:.1} MB", against.with.display());
        for change in &against.changes {
            let _ = write!(text, "\n  {change}");
        }
        if against.changes.is_empty() {
            text.push_str("\n  every package has the size that it had");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::Form;
    use crate::size::{Comparison, PackageSizes, changes};

    #[test]
    fn the_report_lists_packages_and_what_changed() {
        let sizes = |sizes: &[(&str, u64)]| sizes.iter().map(|(name, size)| (*name, *size)).collect();
        let packages: PackageSizes =
            sizes(&[("samba-libs", 57_310_000), ("python3", 8_300_000), ("acl", 90_000)]);
        let before: PackageSizes = sizes(&[("samba-libs", 45_000_000), ("perl", 9_000_000), ("acl", 90_000)]);
        let comparison = |before: &PackageSizes| Comparison {
            with: "images/debian-13.sizes.json".into(),
            unpacked: before.total(),
            changes: changes(before, &packages),
        };
        let mut report = Report {
            template: "debian-13".into(),
            version: "0.1.0".into(),
            form: Form::Container,
            size: 61_234_567,
            unpacked: packages.total(),
            packages: packages.clone(),
            against: Some(comparison(&before)),
        };
        insta::assert_snapshot!("report", text(&report));
        insta::assert_json_snapshot!("report_json", report);
        report.against = Some(comparison(&packages));
        assert!(text(&report).ends_with("has the size that it had"));
        report.against = None;
        assert_eq!(text(&report).lines().count(), 4);
    }
}
