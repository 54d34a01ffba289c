//! The steps. One file each; every one names its do and its undo side by side.
//!
//! A step holds all that its undo needs, chosen when it was planned: after a crash nothing else is left to ask.

mod access;
mod agent;
mod disk;
mod domain;
mod domain_access;
mod guest;
mod ids;
mod link;
mod network;
mod place;
mod probe;
mod prove;
mod purge;
mod quota;
mod records;
mod resume;
mod retire;
mod run;
mod template;
mod widen;

pub use access::{Grant, Revoke};
pub use agent::{AwaitAgent, Configure, Ready, SetPasswords};
pub use disk::{ClaimDisk, GrowDisk, ReleaseDisk};
pub use domain::{ForgetSecrets, JoinDomain, KeepSecrets, LeaveDomain, PASSING, credential};
pub use domain_access::{GrantDomain, RevokeDomain};
pub use guest::{ConfigureGuest, CreateGuest, LimitGuest};
pub use ids::KeepIds;
pub use link::MakeLink;
pub use network::EnsureNetwork;
pub use place::MakePlace;
pub use probe::Probe;
pub use prove::Prove;
pub use purge::Purge;
pub use quota::{SetQuota, SetUserQuota};
pub use records::{RemoveRecord, WriteRecord};
pub use resume::Resume;
pub use retire::Retire;
pub use run::{Start, Stop};
pub use template::{InstallTemplate, RemoveTemplate};
pub use widen::WidenIds;

use serde::{Deserialize, Serialize};

use crate::world::World;
use crate::{Error, Result};

/// What every step's file implements; [`smbgw_journal::Step`] has the meaning of each.
trait Action {
    const NAME: &'static str;
    fn subject(&self) -> String {
        String::new()
    }
    fn describe(&self) -> String;
    fn perform(&self, world: &World) -> Result<()>;
    fn undo(&self, world: &World) -> Result<()>;
    fn commits(&self) -> bool {
        false
    }
    fn by_hand(&self) -> Vec<String> {
        Vec::new()
    }
}

/// `1 share`, `2 shares`.
fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

macro_rules! steps {
    ($($name:ident),* $(,)?) => {
        /// Any step.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "step", rename_all = "kebab-case")]
        #[expect(missing_docs, reason = "each variant is documented at its type")]
        #[expect(clippy::large_enum_variant, reason = "a plan has a dozen steps; boxes would buy nothing")]
        pub enum Step {
            $($name($name),)*
        }

        $(impl From<$name> for Step {
            fn from(step: $name) -> Self {
                Self::$name(step)
            }
        })*

        impl smbgw_journal::Step for Step {
            type World = World;
            type Error = Error;
            fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => $name::NAME,)* }
            }
            fn subject(&self) -> String {
                match self { $(Self::$name(step) => step.subject(),)* }
            }
            fn describe(&self) -> String {
                match self { $(Self::$name(step) => step.describe(),)* }
            }
            fn perform(&self, world: &World) -> Result<()> {
                match self { $(Self::$name(step) => step.perform(world),)* }
            }
            fn undo(&self, world: &World) -> Result<()> {
                match self { $(Self::$name(step) => step.undo(world),)* }
            }
            fn commits(&self) -> bool {
                match self { $(Self::$name(step) => step.commits(),)* }
            }
            fn by_hand(&self) -> Vec<String> {
                match self { $(Self::$name(step) => step.by_hand(),)* }
            }
        }
    };
}

steps!(
    WriteRecord,
    RemoveRecord,
    KeepIds,
    WidenIds,
    EnsureNetwork,
    MakeLink,
    MakePlace,
    CreateGuest,
    ConfigureGuest,
    LimitGuest,
    ClaimDisk,
    ReleaseDisk,
    GrowDisk,
    Grant,
    Revoke,
    GrantDomain,
    RevokeDomain,
    SetQuota,
    SetUserQuota,
    Start,
    Stop,
    Resume,
    AwaitAgent,
    Configure,
    SetPasswords,
    JoinDomain,
    LeaveDomain,
    KeepSecrets,
    ForgetSecrets,
    Prove,
    Probe,
    Ready,
    Retire,
    Purge,
    InstallTemplate,
    RemoveTemplate,
);
