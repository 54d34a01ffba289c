//! The contract: what a gateway is ([`GatewaySpec`]), and what host and agent say to each other ([`v1`]).
//!
//! No I/O happens here, and no unchecked string passes: every name, path, size and address is a newtype that
//! refuses bad input when it is made.
//!
//! * [`names`] — [`GatewayName`], [`ShareName`], [`UserName`], [`TemplateName`]
//! * [`size`] — [`ByteSize`]
//! * [`path`] — [`HostPath`]
//! * [`disk`] — [`Disk`], [`DiskSource`], [`DiskPath`], [`RbdImage`], [`CephUser`], [`FolderPath`]
//! * [`network`] — [`Network`], [`Address`], [`BridgeName`], [`VlanId`], [`DnsDomain`]
//! * [`listen`] — [`Listen`]
//! * [`storage`] — [`StorageId`], [`DatasetName`], [`StoragePlace`], [`VolumeId`]
//! * [`group`] — [`GroupName`], [`Group`], [`Principal`], [`Admission`] · [`ids`] — [`IdBook`]
//! * [`spec`] — [`GatewaySpec`], [`Mode`], [`Firmware`], [`User`]
//! * [`domain`] — [`Domain`], [`Realm`], [`OrgUnit`], [`DomainPrincipal`], [`Sid`], [`DomainFault`]
//! * [`startup`] — [`StartOrder`]
//! * [`share`] — [`Share`], [`Location`], [`Quota`]
//! * [`purpose`] — [`Purpose`], [`Handling`], [`Recycle`], [`Days`], [`Grace`]
//! * [`raw`] — [`RawOption`]
//! * [`manifest`] — the YAML file of `apply -f`
//! * [`v1`]: wire types of the agent

pub mod disk;
pub mod domain;
pub mod group;
pub mod ids;
pub mod listen;
pub mod manifest;
pub mod names;
pub mod network;
pub mod path;
pub mod purpose;
pub mod raw;
pub mod share;
pub mod size;
pub mod spec;
pub mod startup;
pub mod storage;
pub mod v1;

pub use disk::{CephUser, Disk, DiskPath, DiskSource, FolderPath, RbdImage};
pub use domain::{
    Domain, DomainFault, DomainIds, DomainPrincipal, DomainUser, Fallback, HostName, IdBackend, OrgUnit,
    Realm, Sid, Workgroup,
};
pub use group::{Access, Admission, Group, GroupName, Principal};
pub use ids::IdBook;
pub use listen::{Listen, SMB_PORT};
pub use manifest::{Intent, Manifest, ManifestEntry};
pub use names::{GatewayName, ShareName, TemplateName, UserName};
pub use network::{Address, BridgeName, DnsDomain, Network, VlanId};
pub use path::HostPath;
pub use purpose::{Days, Grace, Handling, Purpose, Recycle};
pub use raw::RawOption;
pub use share::{Location, Quota, QuotaMode, Share};
pub use size::ByteSize;
pub use spec::{Firmware, GatewaySpec, Mode, SecurityProfile, User};
pub use startup::StartOrder;
pub use storage::{DatasetName, StorageId, StoragePlace, VolumeId};

/// A value that breaks a rule; the message says which one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?}: {rule}")]
pub struct Invalid {
    /// The kind of value, as "share name".
    pub what: &'static str,
    /// The value as given.
    pub value: String,
    /// The rule it breaks.
    pub rule: String,
}

impl Invalid {
    pub(crate) fn new(what: &'static str, value: &str, rule: impl Into<String>) -> Self {
        // a hostile value must not flood a terminal
        Self { what, value: value.chars().take(120).collect(), rule: rule.into() }
    }
}

/// Implements what every text newtype has: parsing, display, serde by its text, JSON schema as a string.
macro_rules! text_newtype {
    ($type:ident) => {
        impl std::str::FromStr for $type {
            type Err = $crate::Invalid;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }
        impl TryFrom<String> for $type {
            type Error = $crate::Invalid;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }
        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string" })
            }
        }
    };
}
pub(crate) use text_newtype;
