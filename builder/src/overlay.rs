//! Laying the recipe's own files, the agent, and what follows from the recipe over the packages' tree.

use std::fs;
use std::path::{Path, PathBuf};

use crate::agent::AgentFiles;
use crate::apt;
use crate::error::Error;
use crate::recipe::{MergedUsr, Recipe, Rule};
use crate::slim;
use crate::tree::{Entry, Tree};
use crate::units;

/// A file to lay over the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlayFile {
    /// Absolute path in the template.
    pub path: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// Reads all files of the overlay directory, sorted by path.
///
/// # Errors
/// [`Error::Missing`], [`Error::Io`], or [`Error::Recipe`] for what is neither file nor directory.
pub fn read(recipe_path: &Path, directory: &Path) -> Result<Vec<OverlayFile>, Error> {
    if !directory.is_dir() {
        return Err(Error::Missing {
            what: "the overlay directory",
            path: directory.to_owned(),
            hint: format!("`overlay.files` in {} is relative to the recipe", recipe_path.display()),
        });
    }
    let mut files = Vec::new();
    walk(recipe_path, directory, &PathBuf::from("/"), &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn walk(recipe_path: &Path, from: &Path, to: &Path, files: &mut Vec<OverlayFile>) -> Result<(), Error> {
    for entry in fs::read_dir(from).map_err(Error::io("listing", from))? {
        let entry = entry.map_err(Error::io("listing", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(Error::io("reading", &source))?;
        if kind.is_dir() {
            walk(recipe_path, &source, &target, files)?;
        } else if kind.is_file() {
            let path = target.to_str().ok_or_else(|| Error::Recipe {
                path: recipe_path.to_owned(),
                detail: format!("the overlay's {} has a name that is not UTF-8", source.display()),
            })?;
            let content = fs::read(&source).map_err(Error::io("reading", &source))?;
            files.push(OverlayFile { path: path.to_owned(), content });
        } else {
            return Err(Error::Recipe {
                path: recipe_path.to_owned(),
                detail: format!(
                    "the overlay's {} is neither file nor directory; list links under `links`",
                    source.display()
                ),
            });
        }
    }
    Ok(())
}

/// Lays everything over the tree.
///
/// # Errors
/// [`Error::Tree`] when something does not fit the tree.
pub fn apply(
    tree: &mut Tree,
    recipe: &Recipe,
    files: &[OverlayFile],
    agent: &AgentFiles,
) -> Result<(), Error> {
    remove(tree, recipe);
    for file in files {
        tree.put(&file.path, Entry::file(file.content.clone()))?;
    }
    agent.install(tree, &recipe.agent)?;
    tree.put("/etc/dpkg/dpkg.cfg.d/smbgw-slim", Entry::file(slim::dpkg_rules(&recipe.slim)))?;
    tree.remove("/etc/apt/sources.list.d");
    tree.put("/etc/apt/sources.list.d", Entry::directory())?;
    // always Debian's own address: the mirror of the build may not be reachable from the gateway
    tree.put(
        "/etc/apt/sources.list",
        Entry::file(apt::sources(recipe, &recipe.mirror, Some(&recipe.keyring))),
    )?;
    for link in &recipe.overlay.links {
        tree.put(&link.path, Entry::symlink(link.target.clone()))?;
    }
    strip_set_id(tree, &recipe.set_id.strip, recipe.merged_usr == MergedUsr::Hook)?;
    recipe.overlay.rules.iter().try_for_each(|rule| apply_rule(tree, rule))?;
    units::apply(tree, &recipe.services)
}

fn remove(tree: &mut Tree, recipe: &Recipe) {
    let matches = |path: &str| recipe.overlay.remove.iter().any(|glob| glob.matches(path));
    let doomed: Vec<String> =
        tree.entries().map(|(path, _)| path).filter(|path| matches(path)).map(str::to_owned).collect();
    for path in doomed {
        tree.remove(&path);
    }
}

fn apply_rule(tree: &mut Tree, rule: &Rule) -> Result<(), Error> {
    let path = rule.path.trim_end_matches('/');
    if rule.path.ends_with('/') && tree.get(path).is_none() {
        tree.put(path, Entry::directory())?;
    }
    let entry = tree
        .get_mut(path)
        .ok_or_else(|| Error::Tree(format!("the recipe has a rule for {path}, which does not exist")))?;
    (entry.mode, entry.uid, entry.gid) = (rule.mode.0, rule.owner.uid, rule.owner.gid);
    Ok(())
}

/// Takes set-id bits away, and tells dpkg, so that an upgrade does not bring them back. Source: dpkg-statoverride(1).
///
/// dpkg knows a file by the path in its package, which before Debian 13 may be `/bin/su` for `/usr/bin/su` (`aliased`).
fn strip_set_id(tree: &mut Tree, paths: &[String], aliased: bool) -> Result<(), Error> {
    const OVERRIDES: &str = "/var/lib/dpkg/statoverride";
    // the packages may have entries of their own for the same files
    let ours =
        |line: &str| line.split_whitespace().nth(3).is_some_and(|path| paths.iter().any(|ours| ours == path));
    let mut text: String = tree
        .text(OVERRIDES)
        .unwrap_or_default()
        .lines()
        .filter(|line| !ours(line))
        .map(|line| format!("{line}\n"))
        .collect();
    for path in paths {
        let Some(entry) = tree.get_mut(path) else {
            return Err(Error::Tree(format!(
                "the recipe strips the set-id bit of {path}, which does not exist"
            )));
        };
        entry.mode &= 0o1777;
        let alias = path.strip_prefix("/usr").filter(|_| aliased);
        for name in [Some(path.as_str()), alias].into_iter().flatten() {
            text.push_str(&format!("#{} #{} {:04o} {name}\n", entry.uid, entry.gid, entry.mode));
        }
    }
    tree.put(OVERRIDES, Entry::file(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Mode, Owner};

    #[test]
    fn set_id_bits_go_and_dpkg_knows() {
        let mut tree = Tree::default();
        tree.put("/usr/bin/su", Entry::file("elf").with_mode(0o4755)).unwrap();
        tree.put(
            "/var/lib/dpkg/statoverride",
            Entry::file("root mail 2755 /x\nroot root 4755 /usr/bin/su\n"),
        )
        .unwrap();
        strip_set_id(&mut tree, &["/usr/bin/su".into()], false).unwrap();
        assert_eq!(tree.get("/usr/bin/su").unwrap().mode, 0o755);
        assert_eq!(
            tree.text("/var/lib/dpkg/statoverride"),
            Some("root mail 2755 /x\n#0 #0 0755 /usr/bin/su\n")
        );
        strip_set_id(&mut tree, &["/usr/bin/su".into()], true).unwrap();
        assert!(
            tree.text("/var/lib/dpkg/statoverride").unwrap().ends_with("/usr/bin/su\n#0 #0 0755 /bin/su\n")
        );
        assert!(strip_set_id(&mut tree, &["/none".into()], false).is_err());
    }

    #[test]
    fn rules_make_directories_and_set_owners() {
        let mut tree = Tree::default();
        let rule = Rule { path: "/var/lib/x/".into(), mode: Mode(0o700), owner: Owner { uid: 5, gid: 6 } };
        apply_rule(&mut tree, &rule).unwrap();
        let entry = tree.get("/var/lib/x").unwrap();
        assert_eq!((entry.is_directory(), entry.mode, entry.uid, entry.gid), (true, 0o700, 5, 6));
        assert!(apply_rule(&mut tree, &Rule { path: "/none".into(), ..rule }).is_err());
    }

    #[test]
    fn links_in_the_overlay_directory_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("etc")).unwrap();
        fs::write(directory.path().join("etc/b"), "b").unwrap();
        fs::write(directory.path().join("etc/a"), "a").unwrap();
        let files = read(Path::new("r.yaml"), directory.path()).unwrap();
        assert_eq!(files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["/etc/a", "/etc/b"]);
        std::os::unix::fs::symlink("a", directory.path().join("etc/c")).unwrap();
        assert!(matches!(read(Path::new("r.yaml"), directory.path()), Err(Error::Recipe { .. })));
    }
}
