//! `ops`

use clap::Subcommand;
use smbgw_journal::OperationId;

use super::DryRun;

/// `ops`
#[derive(Debug, Subcommand)]
pub enum OpsVerb {
    /// List operations
    List,
    /// Show one operation
    Show {
        /// Operation
        id: OperationId,
    },
    /// Finish what a crash or a failed undo left: of all operations, or of one
    Recover {
        /// Operation
        id: Option<OperationId>,
        #[command(flatten)]
        /// Only plan.
        dry: DryRun,
    },
    /// Take an operation back: an unfinished one, or the last one of a gateway
    Rollback {
        /// Operation
        id: OperationId,
        #[command(flatten)]
        /// Only plan.
        dry: DryRun,
    },
    /// Remove the journals of operations that are over
    Clean {
        /// Keep those younger than so many days
        #[arg(long, value_name = "DAYS", default_value_t = 30)]
        older_than: u32,
        #[command(flatten)]
        /// Only plan.
        dry: DryRun,
    },
}
