//! Quotas.

use schemars::JsonSchema;
use serde::Serialize;

use crate::output::human::bytes;
use crate::output::{View, table};
use crate::quota::same;

/// A share with a quota.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct QuotaRow {
    /// Gateway.
    pub gateway: String,
    /// Share.
    pub share: String,
    /// User or group, as @staff, whose files on the share's file system are limited; none when it is the share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The quota, in bytes.
    pub quota_bytes: u64,
    /// `enforce` or `report`.
    pub mode: String,
    /// The limit that the file system enforces, in bytes.
    pub enforced_bytes: Option<u64>,
    /// What limits it, as `refquota of tank/team`.
    pub mechanism: String,
    /// What counts against it, in bytes.
    pub used_bytes: u64,
    /// How full it is.
    pub percent: f64,
    /// Days until it is full, if it goes on growing as it has.
    pub days_until_full: Option<f64>,
}

/// `quota show`
#[derive(Debug, Serialize, JsonSchema)]
pub struct QuotaList {
    /// By gateway and share.
    pub quotas: Vec<QuotaRow>,
}

impl View for QuotaList {
    fn human(&self) -> String {
        if self.quotas.is_empty() {
            return "no share has a quota: pve-smbgateway quota set GATEWAY SIZE".to_owned();
        }
        self.table()
    }

    fn table(&self) -> String {
        table::render(
            &["GATEWAY", "SHARE", "OF", "QUOTA", "USED", "FULL", "DAYS LEFT", "BY"],
            self.quotas.iter().map(|row| {
                let by = if row.mode == "enforce" && !same(row.enforced_bytes, Some(row.quota_bytes)) {
                    format!("NOT IN FORCE: {}", row.mechanism)
                } else {
                    row.mechanism.clone()
                };
                vec![
                    row.gateway.clone(),
                    row.share.clone(),
                    row.principal.clone().unwrap_or_else(|| "all".to_owned()),
                    bytes(row.quota_bytes),
                    bytes(row.used_bytes),
                    format!("{:.0} %", row.percent),
                    row.days_until_full.map_or_else(|| "-".to_owned(), |days| format!("{days:.0}")),
                    by,
                ]
            }),
        )
    }
}
