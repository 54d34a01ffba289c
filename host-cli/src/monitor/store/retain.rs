//! Sums over five minutes, and what goes: by age, and by size.

use rusqlite::{Connection, OptionalExtension, params};

use super::schema::{self, SERIES};
use super::{BUCKET, Result};
use crate::monitor::settings::History;

/// Up to where sums are made, in seconds since 1970.
const SUMMED: &str = "summed";
/// Events that are kept, at most.
const EVENTS: i64 = 100_000;
const DAY: i64 = 86_400;
/// Pages that may be left of a file that is as large as it may be: a round takes a few at once.
const NEAR: i64 = 64;

/// Where sums end.
pub(super) fn summed(connection: &Connection) -> Result<Option<i64>> {
    let find = "SELECT value FROM mark WHERE name = ?1";
    Ok(connection.query_row(find, [SUMMED], |row| row.get(0)).optional()?)
}

/// When the five minutes begin that a time is in.
pub(super) fn bucket(at: i64) -> i64 {
    at.div_euclid(BUCKET) * BUCKET
}

fn set_summed(connection: &Connection, to: i64) -> Result<()> {
    connection.execute("INSERT OR REPLACE INTO mark (name, value) VALUES (?1, ?2)", params![SUMMED, to])?;
    Ok(())
}

/// A sample came for this time: sums over it are made again, as after the clock was set back.
pub(super) fn touch(connection: &Connection, at: i64) -> Result<()> {
    let bucket = bucket(at);
    if summed(connection)?.is_none_or(|summed| summed > bucket) {
        set_summed(connection, bucket)?;
    }
    Ok(())
}

/// Makes the sums up to now.
pub(super) fn sum_up(connection: &mut Connection, now: i64) -> Result<()> {
    let to = bucket(now);
    let Some(from) = summed(connection)?.filter(|from| *from < to) else { return Ok(()) };
    let transaction = connection.transaction()?;
    for (detail, sum, owner, columns) in SERIES {
        transaction.execute(
            &format!(
                "INSERT OR REPLACE INTO {sum} (at, {owner}, {}) SELECT at / {BUCKET} * {BUCKET} AS bucket, {owner}, {} FROM {detail} \
                 WHERE at >= ?1 AND at < ?2 GROUP BY bucket, {owner}",
                schema::names(columns),
                schema::sums(columns)
            ),
            params![from, to],
        )?;
    }
    set_summed(&transaction, to)?;
    transaction.commit()?;
    Ok(())
}

/// Drops what is too old, and names that nothing is left of.
pub(super) fn drop_old(connection: &mut Connection, settings: &History, now: i64) -> Result<()> {
    // whole buckets, so that what is left of samples says as much as their sums
    let since = |days: u32| bucket(now - i64::from(days) * DAY);
    let (detail_from, from) = (since(settings.detail_days), since(settings.days));
    let transaction = connection.transaction()?;
    for (detail, sum, ..) in SERIES {
        transaction.execute(&format!("DELETE FROM {detail} WHERE at < ?1"), [detail_from])?;
        transaction.execute(&format!("DELETE FROM {sum} WHERE at < ?1"), [from])?;
    }
    transaction.execute("DELETE FROM event WHERE at < ?1", [from])?;
    transaction.execute("DELETE FROM event WHERE id <= (SELECT max(id) FROM event) - ?1", [EVENTS])?;
    transaction.commit()?;
    Ok(())
}

/// When the file is as large as it may be: drops the oldest tenth of what there is of samples, and of sums where there are no
/// samples. Whether anything went. A disk that others have filled is no reason to.
pub(super) fn make_room(connection: &Connection) -> Result<bool> {
    let ask = |what: &str| connection.query_row(&format!("PRAGMA {what}"), [], |row| row.get::<_, i64>(0));
    if ask("page_count")? - ask("freelist_count")? < ask("max_page_count")? - NEAR {
        return Ok(false);
    }
    let mut gone = 0;
    for table in ["sample", "share_sample", "sample_5m", "share_sample_5m"] {
        let ends: (Option<i64>, Option<i64>) =
            connection.query_row(&format!("SELECT min(at), max(at) FROM {table}"), [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let (Some(first), Some(last)) = ends else { continue };
        // the sums are small, and all that is left of weeks
        if table.ends_with("5m") && gone > 0 {
            break;
        }
        let before = bucket(first + (last - first) / 10).max(bucket(first) + BUCKET);
        gone += connection.execute(&format!("DELETE FROM {table} WHERE at < ?1"), [before])?;
    }
    Ok(gone > 0)
}
