//! testparm(1): whether Samba accepts a configuration, without a complaint.

use std::path::Path;

use smbgw_api::ShareName;
use smbgw_command::{Command, CommandError, Runner};

use crate::error::{self, Result, samba};

/// Lines of testparm's stderr that say nothing is wrong (Samba 4.17 to 4.22).
const NORMAL: &[&str] = &[
    "Load smb config files from ",
    "Loaded services file OK.",
    "Weak crypto is ",
    "Server role: ",
    // `kerberos method` is understood by 4.17 and 4.22 alike; what 4.22 suggests in its place is not
    "SUGGESTION: You may want to use 'sync machine password to keytab'",
    // the soft limit of open files; smbd's unit has its own
    "rlimit_max: increasing rlimit_max ",
    // smbd makes them when it starts, which may be after us when the gateway has just booted
    "WARNING: lock directory /run/samba does not exist",
    "WARNING: pid directory /run/samba does not exist",
];

/// Checks a candidate: exit code 0, no complaint, and every share is there as testparm reads it back.
pub(crate) fn check(runner: &dyn Runner, file: &Path, shares: &[ShareName]) -> Result<()> {
    let command = Command::new("testparm").args(["-s", "--suppress-prompt"]).arg(file.to_string_lossy());
    let output = runner.run(&command).map_err(|error| match &error {
        CommandError::Failed { stderr, .. } => {
            samba(format!("testparm refused the configuration: {}", complaints(stderr).join("; ")))
        }
        _ => error::internal(error::command("checking the configuration", &error)),
    })?;
    let complaints = complaints(&output.stderr);
    if !complaints.is_empty() {
        return Err(samba(format!("testparm complained about the configuration: {}", complaints.join("; "))));
    }
    let sections = sections(&String::from_utf8_lossy(&output.stdout));
    match shares.iter().find(|share| !sections.iter().any(|section| section == share.as_str())) {
        Some(share) => {
            Err(samba(format!("Samba does not see share {share:?} under its name, but {sections:?}")))
        }
        None => Ok(()),
    }
}

/// What in testparm's stderr is more than chatter.
fn complaints(stderr: &str) -> Vec<String> {
    let chatter = |line: &str| line.is_empty() || NORMAL.iter().any(|normal| line.starts_with(normal));
    stderr.lines().map(str::trim).filter(|line| !chatter(line)).map(str::to_owned).collect()
}

/// Sections of the configuration that testparm prints, without `global`.
fn sections(stdout: &str) -> Vec<String> {
    let name = |line: &str| Some(line.strip_prefix('[')?.strip_suffix(']')?.to_owned());
    stdout.lines().filter_map(name).filter(|name| name != "global").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use smbgw_command::Recorder;

    #[test]
    fn chatter_of_both_releases_is_no_complaint() {
        let stderr = "Load smb config files from /etc/samba/smb.conf\nLoaded services file OK.\n\
                      Weak crypto is allowed by GnuTLS (e.g. NTLM as a compatibility fallback)\n\n\
                      Server role: ROLE_STANDALONE\n";
        assert_eq!(complaints(stderr), Vec::<String>::new());
        assert_eq!(
            complaints("Unknown parameter encountered: \"x\"\nServer role: A"),
            ["Unknown parameter encountered: \"x\""]
        );
    }

    #[test]
    fn a_share_that_samba_reads_otherwise_is_refused() {
        let runner = Recorder::new()
            .answer("testparm", "# Global parameters\n[global]\n\tx = y\n\n\n[a b]\n\tpath = /\n");
        let share = |name| ShareName::parse(name).unwrap();
        check(&runner, Path::new("/x"), &[share("a b")]).unwrap();
        assert!(
            check(&runner, Path::new("/x"), &[share("a  b")]).unwrap_err().message.contains("under its name")
        );
    }

    #[test]
    fn refusal_is_sambas_and_says_why() {
        let runner = Recorder::new().fail("testparm", 1, "Loaded services file OK.\nERROR: bad idea");
        let error = check(&runner, Path::new("/x"), &[]).unwrap_err();
        assert_eq!(error.kind, smbgw_api::v1::ErrorKind::Samba);
        assert!(error.message.ends_with("configuration: ERROR: bad idea"), "{error}");
    }
}
