//! smbgw-journal
