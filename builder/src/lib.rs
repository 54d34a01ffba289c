//! smbgw-builder
