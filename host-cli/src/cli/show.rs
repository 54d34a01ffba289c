//! `show`: the spec as a manifest, which `apply` takes again.

use std::process::ExitCode;

use serde::Serialize;
use smbgw_api::{GatewayName, GatewaySpec, Intent, Manifest, ManifestEntry};

use crate::operation::Context;
use crate::output::View;
use crate::{Error, Result, record};

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    spec: GatewaySpec,
    #[serde(skip)]
    yaml: String,
}

impl View for Shown {
    fn human(&self) -> String {
        self.yaml.clone()
    }
}

pub(super) fn run(context: &Context, name: &GatewayName) -> Result<ExitCode> {
    let record = context.platform.record(name)?.ok_or_else(|| record::missing(name))?;
    let manifest =
        Manifest { gateways: vec![ManifestEntry { intent: Intent::Present, spec: record.spec.clone() }] };
    let yaml = serde_yaml::to_string(&manifest)
        .map_err(|source| Error::internal("writing a manifest").source(source))?;
    context.output.data(&Shown { spec: record.spec, yaml });
    Ok(ExitCode::SUCCESS)
}
