//! Shim of `smbgw-agent`; see the library.

fn main() -> std::process::ExitCode {
    smbgw_agent::run()
}
