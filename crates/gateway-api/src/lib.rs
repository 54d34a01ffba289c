//! smbgw-api
