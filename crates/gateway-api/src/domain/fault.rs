//! What can be wrong between a gateway and its domain. Each has a stable code, and its fix.

use serde::{Deserialize, Serialize};

macro_rules! faults {
    ($($(#[$meta:meta])* $name:ident = $code:literal, $fix:literal;)*) => {
        /// What can be wrong between a gateway and its domain.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum DomainFault {
            $($(#[$meta])* #[serde(rename = $code)] $name,)*
            /// One that this version does not know.
            #[serde(other, rename = "ad-unknown")]
            Unknown,
        }

        impl DomainFault {
            /// All but [`DomainFault::Unknown`].
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Stable code for programs.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* Self::Unknown => "ad-unknown" }
            }

            /// What a person does about it.
            pub fn fix(self) -> &'static str {
                match self {
                    $(Self::$name => $fix,)*
                    Self::Unknown => "`pve-smbgateway ad diagnose` looks at each part of it",
                }
            }
        }
    };
}

faults! {
    /// The name server does not know the domain, or does not answer.
    Dns = "ad-dns", "the gateway must ask the domain's name server: set its address with --nameserver (on a node of its own: in /etc/resolv.conf), and check the realm's spelling";
    /// No domain controller answers.
    Unreachable = "ad-unreachable", "check that the domain controller runs and that the gateway's network reaches it";
    /// A port of the domain controller does not answer.
    PortBlocked = "ad-port-blocked", "open it in the firewall between gateway and domain controller: TCP 53, 88, 135, 389, 445, 464 and 49152-65535";
    /// The clocks differ too much for Kerberos.
    ClockSkew = "ad-clock-skew", "set the node's clock right (chrony or systemd-timesyncd): Kerberos allows 300 s of difference";
    /// The password is wrong.
    WrongPassword = "ad-wrong-password", "give the right password; each wrong one counts towards the account's lockout";
    /// There is no such account.
    UnknownUser = "ad-unknown-user", "give a user of this domain: --ad-user";
    /// The account is disabled, locked or expired.
    AccountDisabled = "ad-account-disabled", "enable or unlock the account in the domain, or give another one: --ad-user";
    /// Its password must be changed first.
    PasswordExpired = "ad-password-expired", "change the account's password in the domain first, or give another account: --ad-user";
    /// The account may not do it.
    NoRights = "ad-no-rights", "give an account that may create and delete computers in this unit, or have an administrator delegate that";
    /// There is no such organizational unit.
    OuMissing = "ad-ou-missing", "make the unit in the domain, or give one that is there: --ad-ou";
    /// Another computer has the name.
    NameTaken = "ad-name-taken", "choose another name for the gateway, or delete the computer account in the domain if nobody uses it";
    /// The computer account is in another unit.
    WrongOu = "ad-wrong-ou", "move the computer account in the domain (a join does not move it), or give the unit that it is in: --ad-ou";
    /// The domain has another NetBIOS name.
    Workgroup = "ad-workgroup", "give the domain's NetBIOS name: --ad-workgroup";
    /// The domain's accounts do not fit into the ids.
    IdRange = "ad-id-range", "give the domain more ids: --ad-id-range; a container's map cannot change, so the gateway is then created anew";
    /// No common encryption type.
    Encryption = "ad-encryption", "allow AES for the computer account and the domain controller (msDS-SupportedEncryptionTypes)";
    /// It took too long.
    Timeout = "ad-timeout", "something between gateway and domain controller drops packets: `pve-smbgateway ad diagnose` finds the port";
    /// The gateway is in no domain.
    NotJoined = "ad-not-joined", "`pve-smbgateway ad join` joins it";
    /// The gateway is in a domain already.
    AlreadyJoined = "ad-already-joined", "`pve-smbgateway ad leave` first";
    /// A join was cut off in the middle.
    Interrupted = "ad-join-interrupted", "join again: the computer account, if it was made, is taken over";
    /// The gateway has lost its secret.
    SecretMissing = "ad-secret-missing", "join again with `pve-smbgateway ad join`: the account stays the same";
    /// The domain does not accept the gateway's secret.
    SecretInvalid = "ad-secret-invalid", "the account was reset, deleted or rotated elsewhere: join again with `pve-smbgateway ad join`";
    /// The keytab has not the key that the domain uses.
    KeytabStale = "ad-keytab-stale", "`pve-smbgateway ad test` writes it anew";
    /// The domain is not the one that was joined.
    SidChanged = "ad-sid-changed", "the domain was built anew: leave it with --keep-account and join again; ids of its users change";
    /// The domain has no user or group of this name.
    NoSuchPrincipal = "ad-no-such-name", "names of the domain are given as 'DOMAIN\\Name', with its NetBIOS name; `wbinfo -g` in the gateway lists groups";
    /// winbindd does not run.
    Winbind = "ad-winbind", "`journalctl -u winbind` in the gateway says more (in native mode on the node: `journalctl -u smbgw-NAME-winbind`)";
    /// The gateway's own name could not be registered in DNS.
    DnsUpdate = "ad-dns-update", "make an address record for the gateway by hand, or let it update the zone; clients that use the address are not concerned";
    /// The computer account lacks names.
    Names = "ad-names", "join again with `pve-smbgateway ad join`: only then the domain takes other names";
    /// Anything else.
    Other = "ad-failed", "`pve-smbgateway ad diagnose` looks at each part of it";
}

impl std::fmt::Display for DomainFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_what_is_written() {
        for fault in DomainFault::ALL {
            assert_eq!(serde_json::to_string(fault).unwrap(), format!("{:?}", fault.code()));
        }
        assert_eq!(
            serde_json::from_str::<DomainFault>("\"ad-of-the-future\"").unwrap(),
            DomainFault::Unknown
        );
    }
}
