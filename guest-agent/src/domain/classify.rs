//! What the texts of Samba's and MIT's tools mean. `net` exits with 255 whatever happened, so only the text tells. All texts are
//! of Samba 4.17 and 4.22 against a Samba domain controller.

use smbgw_api::DomainFault;

/// Texts, the most specific first: a tool prints several lines, and the last of them is often the least telling.
const TEXTS: &[(&str, DomainFault)] = &[
    // kinit(1)
    ("Password incorrect", DomainFault::WrongPassword),
    ("Preauthentication failed", DomainFault::WrongPassword),
    ("not found in Kerberos database", DomainFault::UnknownUser),
    ("credentials have been revoked", DomainFault::AccountDisabled),
    ("Password expired", DomainFault::PasswordExpired),
    ("Clock skew too great", DomainFault::ClockSkew),
    ("FAST fast response is missing FX-FAST", DomainFault::ClockSkew),
    ("KDC has no support for encryption type", DomainFault::Encryption),
    ("no support for encryption type", DomainFault::Encryption),
    ("Cannot find KDC for realm", DomainFault::Dns),
    ("Cannot contact any KDC", DomainFault::PortBlocked),
    // net ads join
    ("user password must be changed before logging on", DomainFault::PasswordExpired),
    ("user account has expired", DomainFault::AccountDisabled),
    ("is currently disabled", DomainFault::AccountDisabled),
    ("account has been automatically locked", DomainFault::AccountDisabled),
    ("is currently locked out", DomainFault::AccountDisabled),
    ("NT_STATUS_ACCOUNT_LOCKED_OUT", DomainFault::AccountDisabled),
    ("attempted logon is invalid", DomainFault::WrongPassword),
    ("Invalid credentials", DomainFault::WrongPassword),
    ("failed to precreate account in ou", DomainFault::Other),
    ("(\"workgroup\" set to", DomainFault::Workgroup),
    ("does not have administrator privileges", DomainFault::NoRights),
    ("Insufficient access", DomainFault::NoRights),
    ("AD LDAP ERROR: 50", DomainFault::NoRights),
    ("Constraint violation", DomainFault::NameTaken),
    ("spn conflict", DomainFault::NameTaken),
    ("Device Timeout", DomainFault::PortBlocked),
    ("failed to connect to AD: Operations error", DomainFault::PortBlocked),
    ("failed to find DC for domain", DomainFault::Unreachable),
    ("No logon servers are currently available", DomainFault::Unreachable),
    ("Can't contact LDAP server", DomainFault::Unreachable),
    ("NT_STATUS_IO_TIMEOUT", DomainFault::Timeout),
    // net ads testjoin: 4.17 and 4.22
    ("NT code 0xfffffff6", DomainFault::SecretMissing),
    ("Failed to get machine credentials", DomainFault::SecretMissing),
    ("Access denied", DomainFault::SecretInvalid),
    ("NT_STATUS_ACCESS_DENIED", DomainFault::SecretInvalid),
    ("NT_STATUS_NO_TRUST_SAM_ACCOUNT", DomainFault::SecretInvalid),
];

/// What a tool's text means.
pub(crate) fn fault(text: &str) -> DomainFault {
    let found = TEXTS.iter().find(|(part, _)| text.contains(part)).map(|(_, fault)| *fault);
    match found {
        // four causes in one text
        Some(DomainFault::Other) if text.contains("No such object") => DomainFault::OuMissing,
        Some(DomainFault::Other) if text.contains("Insufficient access") => DomainFault::NoRights,
        Some(DomainFault::Other) if text.contains("Constraint violation") => DomainFault::NameTaken,
        Some(fault) => fault,
        None => DomainFault::Other,
    }
}

/// The same, for a question with the machine's own secret.
pub(crate) fn machine_fault(text: &str) -> DomainFault {
    match fault(text) {
        DomainFault::WrongPassword | DomainFault::UnknownUser => DomainFault::SecretInvalid,
        other => other,
    }
}

/// The line of a tool's text that a person should see.
pub(crate) fn line(text: &str) -> String {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let telling = ["Failed to ", "kinit: ", "Join to domain is not valid: ", "search failed: "];
    let chosen = lines()
        .rev()
        .find(|line| telling.iter().any(|start| line.starts_with(start)))
        .or_else(|| lines().next_back());
    // the prompt has no line of its own
    let chosen = chosen.unwrap_or("it said nothing");
    let chosen = chosen.rsplit("]:").next().unwrap_or(chosen);
    chosen.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Output of the tools as it was seen, with what it is about.
    #[test]
    fn every_text_that_was_seen() {
        let join = |text: &str| format!("Password for [LAB\\joiner]:\nFailed to join domain: {text}");
        let rpc =
            |text: &str| join(&format!("failed to lookup DC info for domain 'LAB.TEST' over rpc: {text}"));
        let ou = |text: &str| join(&format!("failed to precreate account in ou ou=X,dc=LAB,dc=TEST: {text}"));
        for (text, expected) in [
            (
                rpc("The attempted logon is invalid. This is either due to a bad username or authentication information."),
                DomainFault::WrongPassword,
            ),
            (
                "gensec_gse_client_prepare_ccache: Kinit for x to access cifs/dc1 failed: Client not found in Kerberos database\n".to_owned()
                    + &rpc("The attempted logon is invalid."),
                DomainFault::UnknownUser,
            ),
            (
                rpc("The referenced account is currently disabled and cannot be logged on to."),
                DomainFault::AccountDisabled,
            ),
            (
                rpc("The user password must be changed before logging on the first time."),
                DomainFault::PasswordExpired,
            ),
            (rpc("The user account has expired."), DomainFault::AccountDisabled),
            (ou("No such object"), DomainFault::OuMissing),
            (
                "ads_print_error: AD LDAP ERROR: 50 (Insufficient access)\n".to_owned() + &ou("Insufficient access"),
                DomainFault::NoRights,
            ),
            (join("User specified does not have administrator privileges"), DomainFault::NoRights),
            (
                "AD LDAP ERROR: 19 (Constraint violation)\n".to_owned() + &ou("Constraint violation"),
                DomainFault::NameTaken,
            ),
            (
                join("failed to find DC for domain LAB - The request is not supported."),
                DomainFault::Unreachable,
            ),
            (
                rpc("{Device Timeout} The specified I/O operation on %hs was not completed before the time-out period expired."),
                DomainFault::PortBlocked,
            ),
            (join("failed to connect to AD: Operations error"), DomainFault::PortBlocked),
            (
                "krb5: FAST fast response is missing FX-FAST\n".to_owned() + &rpc("The attempted logon is invalid."),
                DomainFault::ClockSkew,
            ),
            (
                join("Invalid configuration (\"workgroup\" set to 'WRONG', should be 'LAB') and configuration modification was not requested"),
                DomainFault::Workgroup,
            ),
            ("Failed to leave domain: failed to connect to AD: Invalid credentials".to_owned(), DomainFault::WrongPassword),
            ("kinit: Password incorrect while getting initial credentials".to_owned(), DomainFault::WrongPassword),
            (
                "kinit: Client 'x@LAB.TEST' not found in Kerberos database while getting initial credentials".to_owned(),
                DomainFault::UnknownUser,
            ),
            (
                "kinit: Client's credentials have been revoked while getting initial credentials".to_owned(),
                DomainFault::AccountDisabled,
            ),
            ("Password expired.  You must change it now.".to_owned(), DomainFault::PasswordExpired),
            ("kinit: Clock skew too great while getting initial credentials".to_owned(), DomainFault::ClockSkew),
            ("kinit: Cannot find KDC for realm \"LAB.TEST\"".to_owned(), DomainFault::Dns),
            ("kinit: Cannot contact any KDC for realm 'LAB.TEST'".to_owned(), DomainFault::PortBlocked),
            ("Join to domain is not valid: NT code 0xfffffff6".to_owned(), DomainFault::SecretMissing),
            (
                "net_ads_join_ok: Failed to get machine credentials\nJoin to domain is not valid: {Access Denied} A process has".to_owned(),
                DomainFault::SecretMissing,
            ),
            (
                "Join to domain is not valid: No logon servers are currently available to service the logon request.".to_owned(),
                DomainFault::Unreachable,
            ),
            ("something else".to_owned(), DomainFault::Other),
        ] {
            assert_eq!(fault(&text), expected, "{text}");
        }
    }

    #[test]
    fn the_line_for_people() {
        let text = "Password for [LAB\\joiner]:gensec: noise\nmore noise\nFailed to leave domain: failed to connect to AD: Invalid credentials\n";
        assert_eq!(line(text), "Failed to leave domain: failed to connect to AD: Invalid credentials");
        assert_eq!(line("Password for [LAB\\joiner]:boo"), "boo");
        assert_eq!(line(""), "it said nothing");
        assert_eq!(machine_fault("Preauthentication failed"), DomainFault::SecretInvalid);
    }
}
