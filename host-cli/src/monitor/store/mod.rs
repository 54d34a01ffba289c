//! The history, in SQLite: each sample for some days, sums over five minutes for longer, and what happened.
//!
//! * [`Store`]: the one who writes
//! * [`Reader`]: all others, also beside it and from another process
//! * `schema`: the tables
//! * `salvage`: what can be saved of a damaged file
//! * `retain`: sums, and what goes
//!
//! Samples are keyed by time first: a look at all gateways is one page at the end of a table, however many they are.

mod read;
mod retain;
mod salvage;
mod schema;
mod write;

#[cfg(test)]
mod tests;

pub use read::{Counted, EventRow, Point, Range, Reader, SharePoint};
pub use write::Store;

use crate::Error;

/// Seconds of a sum.
pub const BUCKET: i64 = 300;

/// Why something could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system is full, or the file as large as it may be.
    #[error("there is no room for the history")]
    Full(#[source] rusqlite::Error),
    /// The file is not what it should be.
    #[error("the history is damaged")]
    Damaged(#[source] rusqlite::Error),
    /// A newer version of this program has written it.
    #[error("the history is of a newer version ({0}) of this program")]
    Newer(i64),
    /// Files beside it.
    #[error("{doing}")]
    File {
        /// What was being done.
        doing: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Anything else.
    #[error("the history cannot be used")]
    Sqlite(#[source] rusqlite::Error),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase};
        match error.sqlite_error_code() {
            Some(DiskFull) => Self::Full(error),
            Some(DatabaseCorrupt | NotADatabase) => Self::Damaged(error),
            _ => Self::Sqlite(error),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let (code, hint) = match &error {
            StoreError::Full(_) => ("no-space", "free some space below /var/lib/pve-smbgateway"),
            StoreError::Damaged(_) => {
                ("history-damaged", "`systemctl restart pve-smbgateway-monitor` saves what can be saved")
            }
            StoreError::Newer(_) => ("history-newer", "run the newer version of this program"),
            StoreError::File { .. } | StoreError::Sqlite(_) => {
                ("history", "is /var/lib/pve-smbgateway/monitor there, and root's?")
            }
        };
        Self::resource(code, error.to_string()).hint(hint).source(error)
    }
}

type Result<T> = std::result::Result<T, StoreError>;
