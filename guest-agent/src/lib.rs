//! smbgw-agent
