//! What was applied last, kept across restarts in `/var/lib/smbgw/state.json`. Its rename is the commit point of a
//! change: before it the old state counts, after it the new one.

use serde::{Deserialize, Serialize};
use smbgw_api::v1::DesiredState;

use crate::error::{Doing, Result, internal};
use crate::files;
use crate::paths::Paths;

/// Version of the file.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct StateFile {
    version: u32,
    desired: DesiredState,
}

/// Reads it; none before the first change.
pub(crate) fn load(paths: &Paths) -> Result<Option<DesiredState>> {
    let path = paths.state();
    let Some(text) = files::read_optional(&path).doing(|| format!("reading {}", path.display()))? else {
        return Ok(None);
    };
    parse(&text).map(Some).map_err(|error| internal(format!("{} is damaged: {error}", path.display())))
}

/// Writes it, durably.
pub(crate) fn save(paths: &Paths, desired: &DesiredState) -> Result<()> {
    let path = paths.state();
    let file = StateFile { version: VERSION, desired: desired.clone() };
    let mut json =
        serde_json::to_vec_pretty(&file).map_err(|error| internal(format!("the state: {error}")))?;
    json.push(b'\n');
    files::replace(&path, &json, 0o600).doing(|| format!("writing {}", path.display()))
}

fn parse(text: &str) -> std::result::Result<DesiredState, String> {
    let file: StateFile = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if file.version != VERSION {
        return Err(format!("its version {} is not known to this agent", file.version));
    }
    Ok(file.desired)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_wrote() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("var/lib/smbgw")).unwrap();
        let paths = Paths::below(root.path());
        assert_eq!(load(&paths).unwrap(), None);
        let desired: DesiredState =
            serde_json::from_str(r#"{"name":"a","security":"high","users":[],"shares":[]}"#).unwrap();
        save(&paths, &desired).unwrap();
        assert_eq!(load(&paths).unwrap(), Some(desired));
        std::fs::write(paths.state(), "{").unwrap();
        assert!(load(&paths).unwrap_err().message.contains("damaged"));
    }

    #[test]
    fn refuses_versions_it_does_not_know() {
        let text = r#"{"version":9,"desired":{"name":"a","security":"high","users":[],"shares":[]}}"#;
        assert!(parse(text).unwrap_err().contains("version 9"));
    }
}
