//! A difference for people: the first lines of each list, and how many there are.

use std::collections::BTreeSet;

use super::{Aspect, Difference, FileChange, Files, PackageChange, PackageFiles, SizeChange};
use crate::build::megabytes;
use crate::manifest::PathRecord;

/// Lines of a list that are shown.
const SHOWN: usize = 20;
/// Paths of a package that are shown when there are more than that in all.
const FEW: usize = 5;

impl Difference<'_> {
    /// As text, without a line break at its end.
    pub fn text(&self) -> String {
        let (old, new) = (&self.old, &self.new);
        let mut lines = vec![format!(
            "{} {} ({}, {}) -> {} {} ({}, {})",
            old.template, old.version, old.form, old.suite, new.template, new.version, new.form, new.suite
        )];
        if !self.differ {
            let packed = if old.size == new.size { "" } else { ", but for how hard they are compressed" };
            lines.push(format!("  no difference{packed}"));
            return lines.join("\n");
        }
        lines.push(format!("  Samba {}", change(old.samba.unwrap_or("none"), new.samba.unwrap_or("none"))));
        let version =
            |version: &Option<String>| version.clone().unwrap_or_else(|| "of unknown version".into());
        let (before, after) = (version(&old.agent.version), version(&new.agent.version));
        let other =
            if before == after && old.agent.sha256 != new.agent.sha256 { ", other bytes" } else { "" };
        lines.push(format!("  agent {}{other}", change(&before, &after)));
        lines.push(format!(
            "  size {}; unpacked {}; files {}",
            size(old.size, new.size),
            size(old.unpacked_size, new.unpacked_size),
            size(old.file_size, new.file_size)
        ));
        self.packages_text(&mut lines);
        self.sizes_text(&mut lines);
        self.files_text(&mut lines);
        lines.join("\n")
    }

    fn packages_text(&self, lines: &mut Vec<String>) {
        let found = &self.packages;
        let counts = [
            (found.added.len(), "added"),
            (found.removed.len(), "removed"),
            (found.upgraded.len(), "upgraded"),
            (found.downgraded.len(), "downgraded"),
            (found.rebuilt.len(), "rebuilt"),
        ];
        lines.push(format!("packages: {}", summary(&counts)));
        let changed = |sign: char| {
            move |PackageChange { old, new }: &PackageChange<'_>| {
                format!("  {sign} {} {}", new.name, change(&old.version, &new.version))
            }
        };
        let added = found.added.iter().map(|package| format!("  + {} {}", package.name, package.version));
        let removed = found.removed.iter().map(|package| format!("  - {} {}", package.name, package.version));
        let rest = found.upgraded.iter().map(changed('>')).chain(found.downgraded.iter().map(changed('<')));
        first(lines, added.chain(removed).chain(rest).chain(found.rebuilt.iter().map(changed('='))));
    }

    fn sizes_text(&self, lines: &mut Vec<String>) {
        if self.sizes.is_empty() {
            return;
        }
        lines.push("size of files by package:".into());
        let line = |change: &SizeChange<'_>| {
            format!("  {} {}", size(change.old, change.new), change.package.unwrap_or(NO_PACKAGE))
        };
        first(lines, self.sizes.iter().map(line));
    }

    fn files_text(&self, lines: &mut Vec<String>) {
        let sum = |count: fn(&Files<'_>) -> usize| self.files.iter().map(|group| count(&group.files)).sum();
        let all = COUNTS.map(|(count, what)| (sum(count), what));
        lines.push(format!("files: {}", summary(&all)));
        if let [PackageFiles { package: None, files }] = self.files.as_slice() {
            first(lines, changed_paths(files).map(|line| format!("  {line}")));
            return;
        }
        // an upgraded package has many, and a count says enough; what nobody expects comes in small numbers
        let all_fit = all.iter().map(|(count, _)| count).sum::<usize>() <= SHOWN;
        for PackageFiles { package, files } in self.files.iter().take(SHOWN) {
            let counts = COUNTS.map(|(count, what)| (count(files), what));
            lines.push(format!("  {}: {}", package.unwrap_or(NO_PACKAGE), summary(&counts)));
            if all_fit || files.len() <= FEW {
                lines.extend(changed_paths(files).map(|line| format!("    {line}")));
            }
        }
        let more = self.files.len().saturating_sub(SHOWN);
        if more > 0 {
            lines.push(format!("  and those of {more} more packages (all with --json)"));
        }
    }
}

/// How many paths of a kind there are.
type Count = fn(&Files<'_>) -> usize;

/// For each kind, with the word for it.
const COUNTS: [(Count, &str); 3] = [
    (|files| files.added.len(), "added"),
    (|files| files.removed.len(), "removed"),
    (|files| files.changed.len(), "changed"),
];

fn changed_paths<'a>(files: &'a Files<'_>) -> impl Iterator<Item = String> + 'a {
    let added = files.added.iter().map(|record| format!("+ {}", record.path));
    let removed = files.removed.iter().map(|record| format!("- {}", record.path));
    added.chain(removed).chain(files.changed.iter().map(changed_file))
}

const NO_PACKAGE: &str = "(no package)";

/// `1 added, 3 changed`.
fn summary(counts: &[(usize, &str)]) -> String {
    let some = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    let text = some.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "the same".into() } else { text }
}

/// Adds the first lines of a list, and how many more there are.
fn first(lines: &mut Vec<String>, mut list: impl Iterator<Item = String>) {
    lines.extend(list.by_ref().take(SHOWN));
    let more = list.count();
    if more > 0 {
        lines.push(format!("  and {more} more (all with --json)"));
    }
}

fn change(old: &str, new: &str) -> String {
    if old == new { old.to_owned() } else { format!("{old} -> {new}") }
}

fn size(old: u64, new: u64) -> String {
    if old == new {
        return format!("{:.1} MB", megabytes(old));
    }
    let (sign, by) = (if new > old { '+' } else { '-' }, megabytes(old.abs_diff(new)));
    // an upgrade often changes a package by less than what a tenth of a megabyte shows
    let by = if by < 1.0 { format!("{:.1} kB", by * 1e3) } else { format!("{by:.1} MB") };
    format!("{:.1} -> {:.1} MB ({sign}{by})", megabytes(old), megabytes(new))
}

/// `~ /etc/passwd (content; mode 0644 -> 0600)`.
fn changed_file(found: &FileChange<'_>) -> String {
    let FileChange { what, old, new } = found;
    let kind = |record: &PathRecord| format!("{:?}", record.kind).to_lowercase();
    let owner = |record: &PathRecord| format!("{}:{}", record.uid, record.gid);
    let target = |record: &PathRecord| record.link.clone().unwrap_or_default();
    let said = what.iter().map(|aspect| {
        let detail = match aspect {
            Aspect::Content => String::new(),
            Aspect::Type => change(&kind(old), &kind(new)),
            Aspect::Mode => change(&old.mode, &new.mode),
            Aspect::Owner => change(&owner(old), &owner(new)),
            Aspect::Target => change(&target(old), &target(new)),
            Aspect::Attributes => other_attributes(old, new),
        };
        format!("{} {detail}", aspect.word()).trim_end().to_owned()
    });
    format!("~ {} ({})", new.path, said.collect::<Vec<_>>().join("; "))
}

/// The names of those that are not the same in both.
fn other_attributes(old: &PathRecord, new: &PathRecord) -> String {
    let names: BTreeSet<&String> = old.xattrs.keys().chain(new.xattrs.keys()).collect();
    let differs = |name: &&String| old.xattrs.get(*name) != new.xattrs.get(*name);
    names.into_iter().filter(differs).map(String::as_str).collect::<Vec<_>>().join(", ")
}
