//! GRUB's configuration, the same for BIOS and UEFI.

use crate::guid::Guid;

/// Kernel and ram disk are named by the links that kernel packages keep in `/` (linux-update-symlinks(1)), so that a new
/// kernel in the guest needs nothing written here, and the one before it stays within reach.
///
/// Nobody can edit an entry or get a prompt: that would be a root shell for whoever has the console. An empty list of
/// superusers does that (GRUB manual, "Using GRUB with password authentication").
pub fn text(root: Guid, kernel_arguments: &[String]) -> String {
    let arguments = kernel_arguments.join(" ");
    let entry = |title: &str, suffix: &str| {
        format!(
            "menuentry '{title}' --unrestricted {{\n\
             \tlinux /vmlinuz{suffix} root=UUID={root} {arguments}\n\
             \tinitrd /initrd.img{suffix}\n\
             }}\n"
        )
    };
    format!(
        "set timeout=1\n\
         set timeout_style=hidden\n\
         set default=0\n\
         set fallback=1\n\
         set superusers=\"\"\n\
         export superusers\n\
         serial --unit=0 --speed=115200\n\
         terminal_input console serial\n\
         terminal_output console serial\n\
         search --no-floppy --fs-uuid --set=root {root}\n\
         {}{}",
        entry("SMB gateway", ""),
        entry("SMB gateway, kernel before", ".old"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shape() {
        let arguments = ["ro".to_owned(), "console=ttyS0,115200".to_owned()];
        insta::assert_snapshot!("grub_cfg", text(Guid::known(1), &arguments));
    }
}
