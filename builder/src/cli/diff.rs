//! `smbgw-builder diff`.

use std::path::PathBuf;

use clap::Args;

use super::Answer;
#[cfg(test)]
use super::DIFFERS;
use crate::diff::{Template, compare};
use crate::error::Error;

#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The .tar.zst, .qcow2 or manifest to compare with; files are told by package where the template itself is at hand
    old: PathBuf,
    /// The new one
    new: PathBuf,
    /// Exit with 10 if they differ; without this the exit code is 0 whether or not they do
    #[arg(long)]
    exit_code: bool,
    /// Print JSON, with every path
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(args: &DiffArgs) -> Result<Answer, Error> {
    let (old, new) = (Template::load(&args.old)?, Template::load(&args.new)?);
    let difference = compare(&old, &new);
    let answer = Answer::new(&difference, difference.text());
    Ok(if args.exit_code && difference.differ { answer.differs() } else { answer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_of_differences_only_when_asked() {
        let directory = tempfile::tempdir().unwrap();
        let manifest = |name: &str, version: &str| {
            let text = format!(
                r#"{{"format": 1, "template": "debian-13", "version": "{version}", "architecture": "amd64", "form": "lxc",
                "suite": "trixie", "samba": null, "agent": {{"version": null, "sha256": ""}}, "recipe_hash": "", "lock_hash": "",
                "epoch": 0, "archive": {{"name": "t", "sha256": "", "size": 1}}, "packages": [], "files": []}}"#
            );
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (old, new) = (manifest("old.json", "1"), manifest("new.json", "2"));
        let code = |old: &PathBuf, new: &PathBuf, exit_code| {
            let args = DiffArgs { old: old.clone(), new: new.clone(), exit_code, json: false };
            run(&args).unwrap().exit_code
        };
        assert_eq!((code(&old, &new, true), code(&old, &new, false)), (DIFFERS, 0));
        assert_eq!(code(&old, &old, true), 0);
    }
}
