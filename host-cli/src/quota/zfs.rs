//! ZFS: `refquota` limits what a dataset itself holds, without snapshots and children (zfsprops(7)); statfs(2) shows it.

use smbgw_api::HostPath;
use smbgw_command::{Command, Runner};

use super::{Mechanism, QuotaFacts, nonsense, run};
use crate::Result;

/// Looks at the dataset that is mounted at a directory.
pub(super) fn look(runner: &dyn Runner, path: &HostPath) -> Result<QuotaFacts> {
    let dataset = list(runner, path.as_str())?;
    if dataset.mountpoint != path.as_str() {
        return Ok(QuotaFacts::lacking(
            format!(
                "{path} is a directory inside dataset {}, which has one limit for all of it",
                dataset.name
            ),
            format!("give the share a dataset of its own: zfs create {}/NAME", dataset.name),
        ));
    }
    let pool = dataset.name.split('/').next().unwrap_or_default();
    let capacity = list(runner, pool).map(|pool| pool.used + pool.available).ok();
    let limit = Some(dataset.refquota).filter(|limit| *limit > 0);
    let mechanism = Ok(Mechanism::Zfs { dataset: dataset.name });
    Ok(QuotaFacts { mechanism, limit, used: dataset.referenced, capacity })
}

/// Sets it.
pub(super) fn set(runner: &dyn Runner, dataset: &str, limit: Option<u64>) -> Result<()> {
    let value = limit.map_or_else(|| "none".to_owned(), |bytes| bytes.to_string());
    run(runner, Command::new("zfs").args(["set", &format!("refquota={value}"), dataset])).map(drop)
}

/// A line of `zfs list -Hp`.
#[derive(Debug, PartialEq, Eq)]
struct Dataset {
    name: String,
    mountpoint: String,
    refquota: u64,
    referenced: u64,
    used: u64,
    available: u64,
}

fn list(runner: &dyn Runner, what: &str) -> Result<Dataset> {
    let columns = "name,mountpoint,refquota,referenced,used,available";
    let text = run(runner, Command::new("zfs").args(["list", "-Hp", "-o", columns, "--", what]))?;
    parse(&text).ok_or_else(|| nonsense("zfs list", &text))
}

/// Reads it (zfs-list(8): tabs with -H, exact numbers with -p).
fn parse(text: &str) -> Option<Dataset> {
    let mut columns = text.lines().next()?.split('\t');
    let mut next = || columns.next();
    let (name, mountpoint) = (next()?.to_owned(), next()?.to_owned());
    // a limit that is not there is 0 in exact numbers, `none` in some versions
    let mut number = |none: Option<u64>| match next()? {
        "none" | "-" => none,
        digits => digits.parse().ok(),
    };
    let (refquota, referenced) = (number(Some(0))?, number(None)?);
    let (used, available) = (number(None)?, number(None)?);
    Some(Dataset { name, mountpoint, refquota, referenced, used, available })
}

#[cfg(test)]
mod tests {
    use super::*;
    use smbgw_command::Recorder;

    // written after zfs-list(8), not printed by it
    const TEAM: &str = "tank/team\t/tank/team\t536870912000\t98304\t98304\t536870813696\n";
    const POOL: &str = "tank\t/tank\t0\t98304\t1073741824\t1072668082176\n";

    fn path(text: &str) -> HostPath {
        HostPath::parse(text).unwrap()
    }

    #[test]
    fn the_dataset_at_a_directory() {
        let runner = Recorder::new()
            .answer("zfs list -Hp -o name,mountpoint,refquota,referenced,used,available -- /tank/team", TEAM)
            .answer("zfs list -Hp -o name,mountpoint,refquota,referenced,used,available -- tank", POOL);
        let facts = look(&runner, &path("/tank/team")).unwrap();
        assert_eq!(facts.mechanism, Ok(Mechanism::Zfs { dataset: "tank/team".to_owned() }));
        assert_eq!((facts.limit, facts.used), (Some(536_870_912_000), 98_304));
        assert_eq!(facts.capacity, Some(1_073_741_824_000));
        set(&runner, "tank/team", Some(5)).unwrap();
        set(&runner, "tank/team", None).unwrap();
        assert_eq!(runner.seen()[2..], ["zfs set refquota=5 tank/team", "zfs set refquota=none tank/team"]);
    }

    #[test]
    fn a_directory_inside_a_dataset_has_no_limit_of_its_own() {
        let runner = Recorder::new().answer("zfs list", POOL);
        let lacking = look(&runner, &path("/tank/team")).unwrap().mechanism.unwrap_err();
        assert!(lacking.why.contains("inside dataset tank"), "{lacking:?}");
    }

    #[test]
    fn what_is_not_a_list_is_an_error() {
        for text in ["", "x", "tank\t/tank\tmany\t1\t1\t1\n"] {
            let runner = Recorder::new().answer("zfs list", text);
            assert_eq!(look(&runner, &path("/tank")).unwrap_err().code, "tool-answer");
        }
    }
}
