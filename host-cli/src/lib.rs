//! pve-smbgateway
