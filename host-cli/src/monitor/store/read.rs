//! Reading, beside the one who writes.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use schemars::JsonSchema;
use serde::Serialize;
use smbgw_api::v1::{Operations, Traffic};

use super::schema::{self, GATEWAY, SHARE};
use super::{BUCKET, Result, retain};

/// What of the history: from, to (not with it), and how long a point is, in seconds since 1970 and seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First second.
    pub from: i64,
    /// First second that is not part of it.
    pub to: i64,
    /// Seconds of a point.
    pub step: i64,
}

/// A stretch of a gateway's history.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Point {
    /// When it begins, in seconds since 1970.
    pub at: i64,
    /// Looks at the gateway.
    pub looks: u64,
    /// Looks that were answered.
    pub answered: u64,
    /// Time of it that is covered, in milliseconds.
    pub span_ms: u64,
    /// Most SMB sessions.
    pub sessions: u64,
    /// Most open files.
    pub open_files: u64,
    /// Most memory, as PSS in bytes.
    pub pss_bytes: u64,
    /// Logons that failed.
    pub failed_logons: Option<u64>,
    /// Most things that were wrong at once.
    pub problems: u64,
    /// What clients did, as far as it is known.
    pub traffic: Option<Counted>,
}

/// A stretch of a share's history.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SharePoint {
    /// When it begins, in seconds since 1970.
    pub at: i64,
    /// Time of it that is covered, in milliseconds.
    pub span_ms: u64,
    /// Most tree connects.
    pub tree_connects: u64,
    /// Size in bytes.
    pub size_bytes: Option<u64>,
    /// Least free room in bytes.
    pub available_bytes: Option<u64>,
    /// What clients did, as far as it is known.
    pub traffic: Option<Counted>,
}

/// What clients did in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Counted {
    /// The time, in milliseconds.
    pub counted_ms: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
    /// Time of reads in the file system, in microseconds.
    pub read_us: u64,
    /// Time of writes in the file system, in microseconds.
    pub write_us: u64,
}

impl Counted {
    /// Of a time in which this was done.
    pub fn of(traffic: Traffic, span: Duration) -> Self {
        let Traffic { read, write } = traffic;
        Self {
            counted_ms: span.as_millis() as u64,
            read_bytes: read.bytes,
            write_bytes: write.bytes,
            reads: read.count,
            writes: write.count,
            read_us: read.time_us,
            write_us: write.time_us,
        }
    }

    /// What was done.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            read: Operations { count: self.reads, bytes: self.read_bytes, time_us: self.read_us },
            write: Operations { count: self.writes, bytes: self.write_bytes, time_us: self.write_us },
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EventRow {
    /// Its number; later ones have higher ones.
    pub id: i64,
    /// When, in seconds since 1970.
    pub at: i64,
    /// Gateway; none when it concerns the service itself.
    pub gateway: Option<String>,
    /// What, as `alert-raised`.
    pub kind: String,
    /// In words.
    pub text: String,
}

/// The history, open for reading.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
}

impl Reader {
    /// Opens it; none when there is none yet.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(Duration::from_secs(2))?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version > schema::VERSION {
            return Err(super::StoreError::Newer(version));
        }
        Ok((version > 0).then_some(Self { connection }))
    }

    /// History of a gateway, the oldest point first. A stretch without a look has no point.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn gateway(&self, name: &str, range: Range) -> Result<Vec<Point>> {
        let find = "SELECT id FROM gateway WHERE name = ?1";
        let id: Option<i64> = self.connection.query_row(find, [name], |row| row.get(0)).optional()?;
        let Some(id) = id else { return Ok(Vec::new()) };
        self.series("sample", "gateway", GATEWAY, id, range, |row| {
            Ok(Point {
                at: row.get(0)?,
                looks: number(row, 1)?,
                answered: number(row, 2)?,
                span_ms: number(row, 3)?,
                sessions: number(row, 5)?,
                open_files: number(row, 6)?,
                pss_bytes: number(row, 7)? << 10,
                failed_logons: row.get::<_, Option<i64>>(8)?.map(|count| count as u64),
                problems: number(row, 9)?,
                traffic: counted(row, 4, 10)?,
            })
        })
    }

    /// Shares of a gateway that there is a history of.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn shares(&self, gateway: &str) -> Result<Vec<String>> {
        let mut find = self.connection.prepare(
            "SELECT share.name FROM share JOIN gateway ON gateway.id = share.gateway WHERE gateway.name = ?1 ORDER BY share.name",
        )?;
        Ok(find.query_map([gateway], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
    }

    /// History of a share.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn share(&self, gateway: &str, share: &str, range: Range) -> Result<Vec<SharePoint>> {
        let find = "SELECT share.id FROM share JOIN gateway ON gateway.id = share.gateway \
                    WHERE gateway.name = ?1 AND share.name = ?2";
        let id: Option<i64> =
            self.connection.query_row(find, params![gateway, share], |row| row.get(0)).optional()?;
        let Some(id) = id else { return Ok(Vec::new()) };
        self.series("share_sample", "share", SHARE, id, range, |row| {
            let bytes = |index| -> rusqlite::Result<Option<u64>> {
                Ok(row.get::<_, Option<i64>>(index)?.map(|kib| (kib as u64) << 10))
            };
            Ok(SharePoint {
                at: row.get(0)?,
                span_ms: number(row, 2)?,
                tree_connects: number(row, 4)?,
                size_bytes: bytes(5)?,
                available_bytes: bytes(6)?,
                traffic: counted(row, 3, 7)?,
            })
        })
    }

    /// Sums where they are as good, samples where not.
    fn series<T>(
        &self,
        table: &str,
        owner: &str,
        columns: &[(&str, &str)],
        id: i64,
        Range { from, to, step }: Range,
        point: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let step = step.max(1);
        let summed = retain::summed(&self.connection)?.unwrap_or(i64::MIN);
        let border = if step % BUCKET == 0 {
            summed
        } else {
            // samples are finer, but sums are there for longer; no bucket has only some of its samples
            let oldest: Option<i64> =
                self.connection.query_row(&format!("SELECT min(at) FROM {table}"), [], |row| row.get(0))?;
            oldest.map_or(summed, retain::bucket)
        };
        let (names, sums) = (schema::names(columns), schema::sums(columns));
        let mut find = self.connection.prepare(&format!(
            "SELECT at / ?5 * ?5 AS point, {sums} FROM (
                 SELECT at, {names} FROM {table}_5m WHERE {owner} = ?1 AND at >= ?2 AND at < min(?3, ?4)
                 UNION ALL
                 SELECT at, {names} FROM {table} WHERE {owner} = ?1 AND at >= max(?2, ?4) AND at < ?3
             ) GROUP BY point ORDER BY point"
        ))?;
        let points = find.query_map(params![id, from, to, border, step], |row| point(row))?;
        Ok(points.collect::<rusqlite::Result<_>>()?)
    }

    /// What happened, the newest first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn events(&self, gateway: Option<&str>, limit: usize) -> Result<Vec<EventRow>> {
        let mut find = self.connection.prepare(
            "SELECT id, at, gateway, kind, text FROM event WHERE ?1 IS NULL OR gateway = ?1 ORDER BY id DESC LIMIT ?2",
        )?;
        let events = find.query_map(params![gateway, limit as i64], |row| {
            Ok(EventRow {
                id: row.get(0)?,
                at: row.get(1)?,
                gateway: row.get(2)?,
                kind: row.get(3)?,
                text: row.get(4)?,
            })
        })?;
        Ok(events.collect::<rusqlite::Result<_>>()?)
    }
}

fn number(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, Option<i64>>(index)?.unwrap_or(0).max(0) as u64)
}

/// Traffic, in the six columns from `first`, if any of the time was counted.
fn counted(row: &Row<'_>, time: usize, first: usize) -> rusqlite::Result<Option<Counted>> {
    if row.get::<_, Option<i64>>(first)?.is_none() {
        return Ok(None);
    }
    Ok(Some(Counted {
        counted_ms: number(row, time)?,
        read_bytes: number(row, first)?,
        write_bytes: number(row, first + 1)?,
        reads: number(row, first + 2)?,
        writes: number(row, first + 3)?,
        read_us: number(row, first + 4)?,
        write_us: number(row, first + 5)?,
    }))
}
