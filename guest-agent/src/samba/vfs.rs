//! The VFS modules of a share in their order, and their options. A request passes them from left to right, so that those which
//! decide whether it is done at all come first, and those which know how Windows' and Apple's metadata lie in files come last.

use smbgw_api::v1::DesiredState;
use smbgw_api::{ByteSize, Handling, Purpose};

/// File operations that are logged when they succeed. Named so in Samba 4.17 to 4.22: a name that a version does not know keeps
/// everybody out of the share (vfs_full_audit(8)).
const AUDITED: &str = "connect disconnect create_file mkdirat renameat unlinkat fset_nt_acl";
/// And when they fail. Opening is not among them: clients look for files that are not there all day.
const AUDITED_FAILURES: &str = "connect mkdirat renameat unlinkat fset_nt_acl";

/// Where clients find what they deleted. `%U` is the name of the session's user, made by us and so of plain characters.
const REPOSITORY: &str = ".recycle/%U";

/// A module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Module {
    /// Sees what clients ask for, before anybody refuses or changes it.
    FullAudit,
    /// Refuses before anything acts.
    Worm,
    /// Turns a deletion into a renaming.
    Recycle,
    /// Has Apple's streams, and gives all others on: right before `streams_xattr` (vfs_fruit(8)).
    Fruit,
    /// Streams in extended attributes.
    StreamsXattr,
    /// Windows ACLs in extended attributes.
    AclXattr,
}

impl Module {
    fn name(self) -> &'static str {
        match self {
            Self::FullAudit => "full_audit",
            Self::Worm => "worm",
            Self::Recycle => "recycle",
            Self::Fruit => "fruit",
            Self::StreamsXattr => "streams_xattr",
            Self::AclXattr => "acl_xattr",
        }
    }
}

/// Whether any share of a gateway is for Macs. A Mac asks for Apple's extension when it opens the first share, whichever that is,
/// and never again: so all shares have `fruit` then, or none (vfs_fruit(8)).
pub(crate) fn for_macs(desired: &DesiredState) -> bool {
    desired.shares.iter().any(|share| share.handling.purpose.is_for_macs())
}

/// The modules of a share.
fn modules(handling: &Handling, macs: bool) -> Vec<Module> {
    let mut modules = Vec::new();
    if handling.audit {
        modules.push(Module::FullAudit);
    }
    if handling.purpose == Purpose::Archive {
        modules.push(Module::Worm);
    }
    if handling.recycle.is_some() {
        modules.push(Module::Recycle);
    }
    // the order in which Samba's own tests of fruit have them (selftest/target/Samba3.pm)
    modules.extend(if macs {
        [Module::Fruit, Module::StreamsXattr, Module::AclXattr].as_slice()
    } else {
        [Module::AclXattr, Module::StreamsXattr].as_slice()
    });
    modules
}

/// Name and value of each option of a share that follows from how its files are handled; `vfs objects` is the first.
pub(crate) fn options(handling: &Handling, limit: Option<ByteSize>, macs: bool) -> Vec<(&str, String)> {
    let modules = modules(handling, macs);
    let names: Vec<_> = modules.iter().map(|module| module.name()).collect();
    let mut options: Vec<(&str, String)> = vec![("vfs objects", names.join(" "))];
    for module in &modules {
        of_module(*module, handling, &mut options);
    }
    if handling.purpose == Purpose::Timemachine {
        options.push(("fruit:time machine", "yes".to_owned()));
        if let Some(size) = handling.time_machine_size(limit) {
            options.push(("fruit:time machine max size", size.to_string()));
        }
    }
    if handling.purpose == Purpose::Scratch {
        // a client that asks for its data to be on the disk is told so at once
        options.push(("strict sync", "no".to_owned()));
    }
    if handling.hide_unreadable {
        options.push(("hide unreadable", "yes".to_owned()));
    }
    if handling.encrypt {
        options.push(("server smb encrypt", "required".to_owned()));
    }
    options.extend(handling.raw_options.iter().map(|option| (option.name(), option.value().to_owned())));
    options
}

fn of_module(module: Module, handling: &Handling, options: &mut Vec<(&str, String)>) {
    let mut set = |name, value: &str| options.push((name, value.to_owned()));
    match module {
        Module::FullAudit => {
            set("full_audit:prefix", "%u|%I|%S");
            set("full_audit:success", AUDITED);
            set("full_audit:failure", AUDITED_FAILURES);
            set("full_audit:facility", "local5");
            set("full_audit:priority", "notice");
        }
        Module::Worm => {
            let grace = handling.grace.unwrap_or(smbgw_api::Grace::DEFAULT);
            set("worm:grace_period", &grace.seconds().to_string());
        }
        Module::Recycle => {
            set("recycle:repository", REPOSITORY);
            set("recycle:directory_mode", "0700");
            set("recycle:keeptree", "yes");
            set("recycle:versions", "yes");
            // the age counts from the deletion
            set("recycle:touch_mtime", "yes");
            if let Some(max) = handling.recycle.and_then(|bin| bin.max_size) {
                set("recycle:maxsize", &max.bytes().to_string());
            }
        }
        // Samba's wiki, "Configure Samba to Work Better with Mac OS X"; the defaults among them are said because they changed before
        Module::Fruit => {
            // in a stream, hence where every other client finds it
            set("fruit:metadata", "stream");
            // not in a stream: forks are larger than extended attributes may be
            set("fruit:resource", "file");
            // what a Mac unpacks or copies may have names that start with ._
            set("fruit:veto_appledouble", "no");
            set("fruit:posix_rename", "yes");
            // inode numbers come back, and a Mac takes them for something that never does
            set("fruit:zero_file_id", "yes");
            set("fruit:wipe_intentionally_left_blank_rfork", "yes");
            set("fruit:delete_empty_adfiles", "yes");
        }
        // its file name is the same for all shares, and so stands with the options that all have
        Module::StreamsXattr | Module::AclXattr => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(yaml: &str, macs: bool) -> String {
        let handling: Handling = serde_json::from_str(yaml).unwrap();
        options(&handling, None, macs).remove(0).1
    }

    #[test]
    fn each_purpose_has_its_stack() {
        for (handling, macs, stack) in [
            ("{}", false, "acl_xattr streams_xattr"),
            ("{}", true, "fruit streams_xattr acl_xattr"),
            (r#"{"purpose":"macos"}"#, true, "fruit streams_xattr acl_xattr"),
            (r#"{"purpose":"timemachine"}"#, true, "fruit streams_xattr acl_xattr"),
            (r#"{"purpose":"archive"}"#, false, "worm acl_xattr streams_xattr"),
            (r#"{"purpose":"archive","audit":true}"#, true, "full_audit worm fruit streams_xattr acl_xattr"),
            (r#"{"purpose":"scratch"}"#, false, "acl_xattr streams_xattr"),
            (r#"{"recycle":{"days":1},"audit":true}"#, false, "full_audit recycle acl_xattr streams_xattr"),
            (r#"{"recycle":{"days":1}}"#, true, "recycle fruit streams_xattr acl_xattr"),
        ] {
            assert_eq!(objects(handling, macs), stack, "{handling}");
        }
    }

    #[test]
    fn time_machine_has_the_smaller_limit() {
        let size = |handling: &str| {
            let handling: Handling = serde_json::from_str(handling).unwrap();
            let options = options(&handling, Some(ByteSize::from_mib(1024)), true);
            options.into_iter().find(|(name, _)| *name == "fruit:time machine max size").unwrap().1
        };
        assert_eq!(size(r#"{"purpose":"timemachine"}"#), "1G");
        assert_eq!(size(r#"{"purpose":"timemachine","max-size":"500M"}"#), "500M");
    }
}
