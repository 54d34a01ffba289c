//! smbgw-lab
