//! `schema`: the JSON schema of what `--output json` prints, by verb.

use std::collections::BTreeMap;
use std::process::ExitCode;

use schemars::{Schema, schema_for};
use smbgw_api::GatewaySpec;

use crate::output::envelope::{Failure, Success};
use crate::output::{Output, view};
use crate::{Error, Result};

/// Schemas by verb.
pub(super) fn schemas() -> BTreeMap<&'static str, Schema> {
    BTreeMap::from([
        ("error", schema_for!(Failure<view::Results>)),
        ("list", schema_for!(Success<view::GatewayList>)),
        ("status", schema_for!(Success<view::Status>)),
        ("metrics", schema_for!(Success<view::Figures>)),
        ("metrics --history", schema_for!(Success<crate::monitor::history::History>)),
        ("top", schema_for!(Success<view::TopList>)),
        ("sessions list", schema_for!(Success<view::SessionList>)),
        ("sessions close", schema_for!(Success<view::SessionsClosed>)),
        ("show", schema_for!(Success<GatewaySpec>)),
        (
            "create, set, delete, share, user, group, quota set, ad join, ad leave, template install, ops recover ID",
            schema_for!(Success<view::Changed>),
        ),
        ("--dry-run", schema_for!(Success<view::DryPlan>)),
        (
            "apply, start, stop, quota refresh, ops recover, ops clean, template prune",
            schema_for!(Success<view::Results>),
        ),
        ("share list", schema_for!(Success<view::ShareList>)),
        ("quota show", schema_for!(Success<view::QuotaList>)),
        ("ad status, ad test", schema_for!(Success<view::DomainStatus>)),
        ("ad diagnose", schema_for!(Success<view::DomainChecks>)),
        ("user list", schema_for!(Success<view::UserList>)),
        ("user import, user add --generate, user passwd --generate", schema_for!(Success<view::NewUsers>)),
        ("group list", schema_for!(Success<view::GroupList>)),
        ("template list", schema_for!(Success<view::TemplateList>)),
        ("template verify", schema_for!(Success<view::Verified>)),
        ("ops list", schema_for!(Success<view::OperationList>)),
        ("ops show", schema_for!(Success<view::OperationView>)),
        ("doctor", schema_for!(Success<view::Diagnosis>)),
    ])
}

pub(super) fn run(output: Output) -> Result<ExitCode> {
    let text = serde_json::to_string_pretty(&schemas())
        .map_err(|e| Error::internal("writing a schema").source(e))?;
    output.raw(&text);
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published schema is the one that holds; write it anew with `SMBGW_WRITE_SCHEMA=1 cargo test -p pve-smbgateway`.
    #[test]
    fn the_published_schema_holds() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema.json");
        let text = format!("{}\n", serde_json::to_string_pretty(&schemas()).unwrap());
        if std::env::var_os("SMBGW_WRITE_SCHEMA").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            text,
            "docs/schema.json is not what the program prints"
        );
    }
}
