//! `ad`

use std::process::ExitCode;

use super::args::AdVerb;
use crate::operation::Context;
use crate::{Error, Result};

pub(super) fn run(_: &Context, _: AdVerb) -> Result<ExitCode> {
    Err(Error::internal("not built yet"))
}
