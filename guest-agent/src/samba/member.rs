//! What smb.conf says of a domain (smb.conf(5), idmap_rid(8), winbindd(8)).

use std::collections::BTreeMap;

use smbgw_api::domain::ids::BUILTIN_IDS;
use smbgw_api::v1::DesiredState;
use smbgw_api::{Domain, DomainPrincipal, IdBackend, Sid};

use super::config::option;
use crate::domain::record::{Account, Record};

/// A membership, as far as smb.conf depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Domain.
    pub(crate) domain: Domain,
    /// Its SID.
    pub(crate) sid: Sid,
    /// Its users and groups that shares name.
    pub(crate) principals: BTreeMap<DomainPrincipal, Account>,
}

impl Member {
    /// Of a state and what is known of the membership; none as long as there is none.
    pub(crate) fn of(desired: &DesiredState, membership: Option<&Record>) -> Option<Self> {
        let record = membership.filter(|record| record.is_joined())?;
        let domain = desired.domain.clone().filter(|domain| domain.realm == record.domain.realm)?;
        Some(Self { domain, sid: record.domain_sid.clone()?, principals: record.principals.clone() })
    }

    pub(super) fn render(&self, out: &mut String) {
        let (workgroup, ids) = (self.domain.workgroup(), self.domain.ids);
        option(out, "workgroup", &workgroup);
        option(out, "realm", &self.domain.realm);
        option(out, "server role", "member server");
        option(out, "security", "ads");
        option(out, "kerberos method", "secrets and keytab");
        if !self.domain.aliases.is_empty() {
            let names: Vec<_> = self.domain.aliases.iter().map(smbgw_api::HostName::as_str).collect();
            option(out, "additional dns hostnames", names.join(" "));
        }

        match self.domain.id_backend {
            IdBackend::Autorid => {
                option(out, "idmap config * : backend", "autorid");
                option(out, "idmap config * : range", ids);
            }
            backend => {
                option(out, "idmap config * : backend", "tdb");
                option(out, "idmap config * : range", format!("{}-{}", BUILTIN_IDS.0, BUILTIN_IDS.1));
                option(out, &format!("idmap config {workgroup} : backend"), backend);
                option(out, &format!("idmap config {workgroup} : range"), ids);
                if backend == IdBackend::Ad {
                    option(out, &format!("idmap config {workgroup} : schema_mode"), "rfc2307");
                }
            }
        }
        // a name without a domain is a local user's
        option(out, "winbind use default domain", "no");
        option(out, "winbind enum users", "no");
        option(out, "winbind enum groups", "no");
        option(out, "winbind refresh tickets", "yes");
        option(out, "winbind max domain connections", "1");
        option(out, "template shell", "/usr/sbin/nologin");
        option(out, "template homedir", "/nonexistent");
    }
}
