//! Which units start: exactly those of the recipe, written as the links `systemctl enable` and `mask` would make.

use crate::error::Error;
use crate::recipe::Services;
use crate::tree::{Entry, Kind, Tree};

const ADMINISTRATOR: &str = "/etc/systemd/system";
const UNIT_PATHS: &[&str] = &[ADMINISTRATOR, "/usr/lib/systemd/system"];
/// Sorts after Proxmox's own `00-pve.preset`, so that its say on networking stands.
const PRESET: &str = "/etc/systemd/system-preset/00-smbgw.preset";

/// Takes out every enabling link the packages made, and makes those of the recipe.
///
/// # Errors
/// [`Error::Tree`] when a unit to enable does not exist or says nowhere who wants it.
pub fn apply(tree: &mut Tree, services: &Services) -> Result<(), Error> {
    let doomed: Vec<String> = tree
        .under(ADMINISTRATOR)
        .filter(|path| {
            is_enabling(path) || tree.get(path).is_some_and(|entry| matches!(entry.kind, Kind::Symlink(_)))
        })
        .map(str::to_owned)
        .collect();
    for path in doomed {
        tree.remove(&path);
    }
    for unit in &services.mask {
        tree.put(&format!("{ADMINISTRATOR}/{unit}"), Entry::symlink("/dev/null"))?;
    }
    for unit in &services.enable {
        for (link, target) in install_links(tree, unit)? {
            tree.put(&link, Entry::symlink(target))?;
        }
    }
    let (_, default) = unit_file(tree, &services.default_target)
        .ok_or_else(|| Error::Tree(format!("no package has the unit {}", services.default_target)))?;
    tree.put(&format!("{ADMINISTRATOR}/default.target"), Entry::symlink(default))?;
    tree.put(PRESET, Entry::file(preset(services)))
}

/// Whether a path is a directory of enabling links, or in one.
pub fn is_enabling(path: &str) -> bool {
    path.strip_prefix(ADMINISTRATOR).and_then(|rest| rest.split('/').nth(1)).is_some_and(|part| {
        part.ends_with(".wants") || part.ends_with(".requires") || part.ends_with(".upholds")
    })
}

/// The unit's text and path. An instance has its template's.
fn unit_file<'a>(tree: &'a Tree, unit: &str) -> Option<(&'a str, String)> {
    let template = match unit.split_once('@') {
        Some((name, rest)) => format!("{name}@.{}", rest.rsplit('.').next()?),
        None => unit.to_owned(),
    };
    UNIT_PATHS.iter().find_map(|directory| {
        let path = format!("{directory}/{template}");
        tree.text(&path).map(|text| (text, path))
    })
}

/// The links that `systemctl enable` would make, and where they point. Source: systemd.unit(5), `[Install]`.
pub fn install_links(tree: &Tree, unit: &str) -> Result<Vec<(String, String)>, Error> {
    let (text, path) = unit_file(tree, unit)
        .ok_or_else(|| Error::Tree(format!("the recipe enables {unit}, and no package or overlay has it")))?;
    let mut links = Vec::new();
    let install = text.lines().map(str::trim).skip_while(|line| *line != "[Install]").skip(1);
    for line in install.take_while(|line| !line.starts_with('[')) {
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        for name in value.split_whitespace() {
            links.push(match key.trim() {
                "WantedBy" => format!("{ADMINISTRATOR}/{name}.wants/{unit}"),
                "RequiredBy" => format!("{ADMINISTRATOR}/{name}.requires/{unit}"),
                "Alias" => format!("{ADMINISTRATOR}/{name}"),
                _ => continue,
            });
        }
    }
    if links.is_empty() {
        return Err(Error::Tree(format!(
            "the recipe enables {unit}, but its [Install] section names nobody who wants it"
        )));
    }
    Ok(links.into_iter().map(|link| (link, path.clone())).collect())
}

/// Proxmox starts a new container as a first boot, which applies presets: with this one it changes nothing.
fn preset(services: &Services) -> String {
    let mut text =
        String::from("# Exactly what the template starts, for a first boot that applies presets.\n");
    for unit in &services.enable {
        text.push_str(&format!("enable {unit}\n"));
    }
    text.push_str("disable *\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services(enable: &[&str], mask: &[&str]) -> Services {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Services { default_target: "multi-user.target".into(), enable: owned(enable), mask: owned(mask) }
    }

    fn tree() -> Tree {
        let mut tree = Tree::default();
        let smbd = "[Unit]\nAfter=nmbd.service\n[Install]\nWantedBy=multi-user.target\nAlias=smb.service\n";
        for (unit, text) in [
            ("smbd.service", smbd),
            ("nmbd.service", smbd),
            ("multi-user.target", ""),
            ("static.service", "[Unit]\n"),
        ] {
            tree.put(&format!("/usr/lib/systemd/system/{unit}"), Entry::file(text)).unwrap();
        }
        for link in
            ["multi-user.target.wants/nmbd.service", "timers.target.wants/apt-daily.timer", "nmb.service"]
        {
            tree.put(&format!("{ADMINISTRATOR}/{link}"), Entry::symlink("/x")).unwrap();
        }
        tree
    }

    #[test]
    fn only_listed_units_start() {
        let mut tree = tree();
        apply(&mut tree, &services(&["smbd.service"], &["nmbd.service"])).unwrap();
        let links: Vec<_> = tree
            .under(ADMINISTRATOR)
            .filter(|path| !tree.get(path).unwrap().is_directory())
            .map(|path| path.trim_start_matches(ADMINISTRATOR))
            .collect();
        assert_eq!(
            links,
            ["/default.target", "/multi-user.target.wants/smbd.service", "/nmbd.service", "/smb.service"]
        );
        let link = |path: &str| tree.get(&format!("{ADMINISTRATOR}/{path}")).unwrap().kind.clone();
        assert_eq!(link("nmbd.service"), Kind::Symlink("/dev/null".into()));
        assert_eq!(link("smb.service"), Kind::Symlink("/usr/lib/systemd/system/smbd.service".into()));
        assert!(tree.text(PRESET).unwrap().ends_with("enable smbd.service\ndisable *\n"));
    }

    #[test]
    fn units_that_cannot_be_enabled_are_said() {
        for unit in ["none.service", "static.service"] {
            let error = apply(&mut tree(), &services(&[unit], &[])).unwrap_err().to_string();
            assert!(error.contains(unit), "{error}");
        }
    }
}
