#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| smbgw_fuzz::dpkg_status(input));
