//! Active Directory: which domain a gateway is in, and who of it may do what.
//!
//! * [`names`]: [`Realm`], [`Workgroup`], [`OrgUnit`], [`DomainUser`], [`DomainPrincipal`], [`HostName`]
//! * [`sid`] has [`Sid`]
//! * [`ids`]: [`DomainIds`], the ids that the domain's users and groups have
//! * [`fault`]: [`DomainFault`], what can be wrong between a gateway and a domain

pub mod fault;
pub mod ids;
pub mod names;
pub mod sid;

use serde::{Deserialize, Serialize};

pub use self::fault::DomainFault;
pub use self::ids::{DomainIds, IdBackend};
pub use self::names::{DomainPrincipal, DomainUser, HostName, OrgUnit, Realm, Workgroup};
pub use self::sid::Sid;

use crate::Invalid;

/// What a creation does when the domain cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// It fails, and takes all back.
    #[default]
    Fail,
    /// The gateway serves its local users, and joins later.
    Local,
}

impl Fallback {
    /// Whether it is the default.
    pub fn is_fail(&self) -> bool {
        *self == Self::Fail
    }
}

/// The domain that a gateway is a member of. Who joins it, and with which password, is no part of this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Domain {
    /// Its DNS name, as CORP.EXAMPLE.
    pub realm: Realm,
    /// Its NetBIOS name; the first part of the realm when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workgroup: Option<Workgroup>,
    /// Organizational unit of the computer account, as OU=Files,OU=Servers; the domain's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ou: Option<OrgUnit>,
    /// Domain controller to join at; found by DNS when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<HostName>,
    /// Other names by which clients reach the gateway, as files.corp.example: Kerberos takes them, and they are registered in DNS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<HostName>,
    /// How ids follow from the domain's accounts: rid, ad or autorid.
    #[serde(default, skip_serializing_if = "IdBackend::is_rid")]
    pub id_backend: IdBackend,
    /// Ids of the domain's users and groups, as 100000-1099999.
    #[serde(default, skip_serializing_if = "DomainIds::is_default")]
    pub ids: DomainIds,
    /// What a creation does when the domain cannot be reached: fail, or local.
    #[serde(default, skip_serializing_if = "Fallback::is_fail")]
    pub fallback: Fallback,
}

impl Domain {
    /// A domain with all the defaults.
    pub fn of(realm: Realm) -> Self {
        Self {
            realm,
            workgroup: None,
            ou: None,
            controller: None,
            aliases: Vec::new(),
            id_backend: IdBackend::default(),
            ids: DomainIds::default(),
            fallback: Fallback::default(),
        }
    }

    /// Its NetBIOS name.
    pub fn workgroup(&self) -> Workgroup {
        self.workgroup.clone().unwrap_or_else(|| self.realm.workgroup())
    }

    /// Checks what holds between its fields.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn check(&self) -> Result<(), Invalid> {
        self.ids.check(self.id_backend)?;
        if let Some(alias) = self.aliases.iter().find(|alias| !alias.is_in(&self.realm)) {
            return Err(Invalid::new(
                "alias",
                alias.as_str(),
                format!("must be a name in {}", self.realm.dns()),
            ));
        }
        match &self.ou {
            Some(ou) if !ou.fits(&self.realm) => Err(Invalid::new(
                "ou",
                &ou.to_string(),
                format!("ends with another domain than {}", self.realm),
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(yaml: &str) -> Domain {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn a_realm_is_enough() {
        let small = domain("realm: corp.example");
        assert_eq!((small.realm.as_str(), small.workgroup().as_str()), ("CORP.EXAMPLE", "CORP"));
        assert_eq!(serde_yaml::to_string(&small).unwrap(), "realm: CORP.EXAMPLE\n");
        small.check().unwrap();
        assert_eq!(small, Domain::of("corp.example".parse().unwrap()));
    }

    #[test]
    fn what_is_written_reads_back() {
        let whole = domain(
            "{realm: CORP.EXAMPLE, workgroup: OLD, ou: 'OU=Files,OU=Servers,DC=corp,DC=example', \
             controller: dc1.corp.example, id-backend: ad, ids: 100000-300000}",
        );
        whole.check().unwrap();
        assert_eq!(domain(&serde_yaml::to_string(&whole).unwrap()), whole);
    }

    #[test]
    fn fields_must_agree() {
        assert!(domain("{realm: A.B, ou: 'OU=x,DC=c,DC=d'}").check().is_err());
        assert!(domain("{realm: A.B, aliases: [files.a.c]}").check().is_err());
        domain("{realm: A.B, aliases: [files.a.b]}").check().unwrap();
        assert!(serde_yaml::from_str::<Domain>("{realm: A.B, password: x}").is_err());
        assert!(serde_yaml::from_str::<Domain>("{realm: A.B, ids: 5000-6000}").is_err());
    }
}
