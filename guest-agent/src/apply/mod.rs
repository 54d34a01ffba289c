//! Making the gateway what it should be.
//!
//! * [`plan`]: from desired state and what is there to a [`plan::Plan`]; pure
//! * [`members`]: groups in it, and whose access it narrows; pure
//! * [`observe`]: what is there
//! * [`run`]: the plan carried out, or all put back
//! * [`finish`]: what comes after the commit
//! * [`recover`]: after an end in the middle of it

mod finish;
mod members;
pub(crate) mod observe;
pub(crate) mod plan;
pub(crate) mod recover;
pub(crate) mod run;

#[cfg(test)]
mod tests;
