//! `smbgw-builder`: see the library.

fn main() -> std::process::ExitCode {
    smbgw_builder::cli::main()
}
