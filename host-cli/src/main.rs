//! `pve-smbgateway`: a shim around [`pve_smbgateway::cli::main`].

fn main() -> std::process::ExitCode {
    pve_smbgateway::cli::main()
}
