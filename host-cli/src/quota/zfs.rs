//! ZFS: `refquota` limits what a dataset itself holds, without snapshots and children (zfsprops(7)); statfs(2) shows it. It takes no
//! limit below what is there (seen with 2.3: `size is less than current used or reserved space`).

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

/// Sets it. A dataset that was full holds a little more than its limit: to put that back, it gets the lowest that ZFS takes.
pub(super) fn set(runner: &dyn Runner, dataset: &str, limit: Option<u64>) -> Result<()> {
    let to = |value: &str| {
        run(runner, Command::new("zfs").args(["set", &format!("refquota={value}"), dataset])).map(drop)
    };
    let Some(bytes) = limit else { return to("none") };
    match to(&bytes.to_string()) {
        Err(error) if error.chain().contains("less than current used") => {
            to(&list(runner, dataset)?.referenced.to_string())
        }
        other => other,
    }
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

    // printed by zfs 2.3.9 (Debian 13, Linux 6.12)
    const TEAM: &str = "tank/team\t/tank/team\t67108864\t98304\t98304\t67010560\n";
    const POOL: &str = "tank\t/tank\t0\t98304\t479232\t536391680\n";
    const FULL: &str = "tank/team\t/tank/team\t67108864\t67133440\t67133440\t0\n";
    const WITHOUT: &str = "tank/team\t/tank/team\t0\t67133440\t67133440\t469258240\n";

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
        assert_eq!((facts.limit, facts.used), (Some(67_108_864), 98_304));
        assert_eq!(facts.capacity, Some(536_870_912));
        set(&runner, "tank/team", Some(5)).unwrap();
        set(&runner, "tank/team", None).unwrap();
        assert_eq!(runner.seen()[2..], ["zfs set refquota=5 tank/team", "zfs set refquota=none tank/team"]);
    }

    #[test]
    fn a_limit_below_what_is_there_becomes_the_lowest_that_it_takes() {
        let said = "cannot set property for 'tank/team': size is less than current used or reserved space";
        let runner = Recorder::new().answer("zfs list", FULL).fail("zfs set refquota=67108864", 255, said);
        set(&runner, "tank/team", Some(67_108_864)).unwrap();
        assert_eq!(runner.seen().last().unwrap(), "zfs set refquota=67133440 tank/team");
    }

    #[test]
    fn one_that_is_full_and_one_without_a_limit() {
        let seen = |text: &str| parse(text).map(|dataset| (dataset.refquota, dataset.referenced));
        assert_eq!(seen(FULL), Some((67_108_864, 67_133_440)));
        assert_eq!(seen(WITHOUT), Some((0, 67_133_440)));
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
