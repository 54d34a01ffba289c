//! The tables.

use rusqlite::Connection;

use super::{Result, StoreError};

/// Version of the tables, in `user_version`.
pub(super) const VERSION: i64 = 1;

/// Columns of a gateway's samples and sums, after time and gateway. Sums of what happened, the largest of what was there.
pub(super) const GATEWAY: &[(&str, &str)] = &[
    ("looks", "sum"),
    ("up", "sum"),
    ("span_ms", "sum"),
    ("counted_ms", "sum"),
    ("sessions", "max"),
    ("open_files", "max"),
    ("pss_kib", "max"),
    ("failed_logons", "sum"),
    ("problems", "max"),
    ("read_bytes", "sum"),
    ("write_bytes", "sum"),
    ("reads", "sum"),
    ("writes", "sum"),
    ("read_us", "sum"),
    ("write_us", "sum"),
];

/// The same of a share's.
pub(super) const SHARE: &[(&str, &str)] = &[
    ("looks", "sum"),
    ("span_ms", "sum"),
    ("counted_ms", "sum"),
    ("tree_connects", "max"),
    ("size_kib", "max"),
    ("available_kib", "min"),
    ("read_bytes", "sum"),
    ("write_bytes", "sum"),
    ("reads", "sum"),
    ("writes", "sum"),
    ("read_us", "sum"),
    ("write_us", "sum"),
];

/// A column: its name, and how it is summed up.
pub(super) type Column = (&'static str, &'static str);
/// A table of samples and that of their sums, whose they are, and their columns.
type Series = (&'static str, &'static str, &'static str, &'static [Column]);

/// All of them.
pub(super) const SERIES: [Series; 2] =
    [("sample", "sample_5m", "gateway", GATEWAY), ("share_sample", "share_sample_5m", "share", SHARE)];

/// Names of columns, with commas.
pub(super) fn names(columns: &[(&str, &str)]) -> String {
    columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// The same, each summed up in its way.
pub(super) fn sums(columns: &[(&str, &str)]) -> String {
    columns.iter().map(|(name, how)| format!("{how}({name})")).collect::<Vec<_>>().join(", ")
}

/// Makes the tables of a new file; refuses one of a newer version.
pub(super) fn prepare(connection: &Connection) -> Result<()> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version > VERSION {
        return Err(StoreError::Newer(version));
    }
    if version == VERSION {
        return Ok(());
    }
    let mut sql = String::from(
        "BEGIN;
         CREATE TABLE gateway (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
         CREATE TABLE share (id INTEGER PRIMARY KEY, gateway INTEGER NOT NULL, name TEXT NOT NULL, UNIQUE (gateway, name));
         CREATE TABLE event (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, gateway TEXT, kind TEXT NOT NULL, text TEXT NOT NULL);
         CREATE TABLE alert (gateway TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, since INTEGER NOT NULL,
             severity TEXT NOT NULL, level INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (gateway, kind, subject)) WITHOUT ROWID;
         CREATE TABLE mark (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;\n",
    );
    for (detail, summed, owner, columns) in SERIES {
        for table in [detail, summed] {
            let columns =
                columns.iter().map(|(name, _)| format!("{name} INTEGER")).collect::<Vec<_>>().join(", ");
            sql.push_str(&format!(
                "CREATE TABLE {table} (at INTEGER NOT NULL, {owner} INTEGER NOT NULL, {columns}, PRIMARY KEY (at, {owner})) WITHOUT ROWID;\n"
            ));
        }
    }
    sql.push_str(&format!("PRAGMA user_version = {VERSION};\nCOMMIT;"));
    connection.execute_batch(&sql)?;
    Ok(())
}
