//! Package URLs, by which scanners know a package. Source: ECMA-427, and its type "deb"
//! (<https://github.com/package-url/purl-spec/blob/main/types-doc/deb-definition.md>).

/// Of a binary package: `pkg:deb/debian/acl@2.3.2-2%2Bb1?arch=amd64&distro=debian-13`.
pub fn binary(name: &str, version: &str, architecture: &str, distribution: &str) -> String {
    let (name, version) = (encode(name), encode(version));
    format!("pkg:deb/debian/{name}@{version}?arch={}&distro={}", encode(architecture), encode(distribution))
}

/// Of a source package.
pub fn source(name: &str, version: &str, distribution: &str) -> String {
    binary(name, version, "source", distribution)
}

/// Percent-encodes all but what must not be: letters, digits, `-._~` and the colon.
fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                (byte as char).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_form() {
        assert_eq!(
            binary("libstdc++6", "2:14~rc-1+b1", "amd64", "debian-13"),
            "pkg:deb/debian/libstdc%2B%2B6@2:14~rc-1%2Bb1?arch=amd64&distro=debian-13"
        );
        assert_eq!(source("acl", "1", "debian-13"), "pkg:deb/debian/acl@1?arch=source&distro=debian-13");
    }
}
