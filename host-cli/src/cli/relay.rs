//! `relay`: a question to an agent of this node, for another node of the cluster. Questions only.

use std::process::ExitCode;
use std::time::Duration;

use super::args::RelayArgs;
use crate::link::Request;
use crate::operation::Context;
use crate::platform::pve::remote::Answer;
use crate::{Error, Result};

/// Time for the answer; who asks has its own deadline.
const PATIENCE: Duration = Duration::from_secs(25);

pub(super) fn run(context: &Context, args: &RelayArgs) -> Result<ExitCode> {
    let request = Request { method: "GET", path: args.path.clone(), body: None, deadline: PATIENCE };
    let answer = Answer::of(context.platform.link(&args.name).and_then(|link| link.request(&request)));
    let text = serde_json::to_string(&answer)
        .map_err(|source| Error::internal("writing an answer").source(source))?;
    context.output.raw(&text);
    Ok(ExitCode::SUCCESS)
}
