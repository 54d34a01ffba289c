//! Words of the command line that are one of a few.

use smbgw_api::{Firmware, Group, GroupName, Invalid, Mode, QuotaMode, SecurityProfile, UserName};

use crate::platform::Form;

pub(super) fn parse_mode(text: &str) -> Result<Mode, String> {
    match text {
        "lxc" => Ok(Mode::Lxc),
        "vm" => Ok(Mode::Vm),
        "native" => Ok(Mode::Native),
        _ => Err("lxc, vm or native".to_owned()),
    }
}

pub(super) fn parse_quota_mode(text: &str) -> Result<QuotaMode, String> {
    match text {
        "enforce" => Ok(QuotaMode::Enforce),
        "report" => Ok(QuotaMode::Report),
        _ => Err("enforce or report".to_owned()),
    }
}

pub(super) fn parse_firmware(text: &str) -> Result<Firmware, String> {
    match text {
        "bios" => Ok(Firmware::Bios),
        "uefi" => Ok(Firmware::Uefi),
        _ => Err("bios or uefi".to_owned()),
    }
}

pub(super) fn parse_form(text: &str) -> Result<Form, String> {
    match text {
        "lxc" => Ok(Form::Container),
        "vm" => Ok(Form::Machine),
        _ => Err("lxc or vm".to_owned()),
    }
}

pub(super) fn parse_security(text: &str) -> Result<SecurityProfile, String> {
    match text {
        "standard" => Ok(SecurityProfile::Standard),
        "high" => Ok(SecurityProfile::High),
        _ => Err("standard or high".to_owned()),
    }
}

/// `staff`, or `staff=alice,bob`.
pub(super) fn parse_group(text: &str) -> Result<Group, Invalid> {
    let (name, members) = text.split_once('=').unwrap_or((text, ""));
    let members = members.split(',').filter(|member| !member.is_empty()).map(UserName::parse);
    Ok(Group { name: GroupName::parse(name)?, gid: None, members: members.collect::<Result<_, _>>()? })
}
