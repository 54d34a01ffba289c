//! The command line, as PVE::JSONSchema::get_options and PVE::RESTHandler read it.

use std::collections::BTreeMap;

use crate::refusal::{Refusal, Result};
use crate::schema::check::{Faults, object, value};
use crate::schema::{Call, Property, Table, find};

/// Options of one call, checked.
#[derive(Debug, Clone, Default)]
pub struct Options {
    values: BTreeMap<String, String>,
    lists: BTreeMap<String, Vec<String>>,
    /// What came after `--`.
    pub rest: Vec<String>,
}

impl Options {
    /// A value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A value that is always there, since the schema demands it.
    pub fn need(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// A boolean.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.get(name).map(|text| text == "1")
    }

    /// The values of an array.
    pub fn list(&self, name: &str) -> &[String] {
        self.lists.get(name).map_or(&[], Vec::as_slice)
    }

    /// The guest's id.
    pub fn vmid(&self) -> u32 {
        self.need("vmid").parse().unwrap_or_default()
    }

    /// Takes a value out.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.values.remove(name)
    }

    /// Puts a value in.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.values.insert(name.to_owned(), value.into());
    }

    /// All values.
    pub fn all(&self) -> &BTreeMap<String, String> {
        &self.values
    }
}

/// Reads and checks the arguments of a command. `fixed` are given by the program, as `node`.
///
/// # Errors
/// With Proxmox VE's words and exit code 255.
pub fn parse(
    table: &Table,
    call: &Call,
    usage: &str,
    arguments: &[String],
    fixed: &[(&str, &str)],
) -> Result<Options> {
    let mut options = Options::default();
    let mut places: Vec<String> = Vec::new();
    let mut unknown = Vec::new();
    let mut arguments = arguments.iter().peekable();
    let mut closed = false;
    while let Some(argument) = arguments.next() {
        if closed {
            options.rest.push(argument.clone());
            continue;
        }
        if argument == "--" {
            closed = true;
            continue;
        }
        let name = argument
            .strip_prefix("--")
            .or_else(|| argument.strip_prefix('-'))
            .filter(|name| !name.is_empty());
        let Some(name) = name else {
            places.push(argument.clone());
            continue;
        };
        let (name, glued) =
            name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value.to_owned())));
        let Some((name, property)) = option(call, name) else {
            unknown.push(format!("Unknown option: {}", name.to_lowercase()));
            continue;
        };
        let text = match (glued, property.kind.as_str()) {
            (Some(text), _) => text,
            (None, "boolean") => {
                arguments.next_if(|next| !next.starts_with('-')).cloned().unwrap_or_else(|| "1".to_owned())
            }
            (None, _) => match arguments.next() {
                Some(text) => text.clone(),
                None => {
                    unknown.push(format!("Option {name} requires an argument"));
                    continue;
                }
            },
        };
        if property.kind == "array" {
            options.lists.entry(name).or_default().push(text);
        } else {
            options.values.insert(name, text);
        }
    }
    if !unknown.is_empty() {
        return Err(Refusal::new(format!("{}\n400 unable to parse option\n{usage}", unknown.join("\n"))));
    }
    place(call, places, &mut options, usage)?;
    for (name, text) in fixed {
        if call.params.contains_key(*name) {
            options.set(name, *text);
        }
    }
    check(table, call, &mut options)
        .map_err(|text| Refusal::new(format!("400 Parameter verification failed.\n{text}{usage}")))?;
    Ok(options)
}

/// Options by the place of their arguments. The last one may take all that is left.
fn place(call: &Call, places: Vec<String>, options: &mut Options, usage: &str) -> Result<()> {
    let mut places = places.into_iter();
    for name in &call.args {
        if name == "extra-args" {
            continue;
        }
        let Some(property) = find(&call.params, name) else { continue };
        match places.next() {
            Some(text) if property.kind == "array" => {
                options.lists.insert(name.clone(), std::iter::once(text).chain(places.by_ref()).collect());
            }
            Some(text) => options.set(name, text),
            None if property.optional || options.get(name).is_some() => {}
            None => return Err(Refusal::new(format!("400 not enough arguments\n{usage}"))),
        }
    }
    if call.args.iter().any(|name| name == "extra-args") {
        let before: Vec<String> = places.collect();
        options.rest.splice(0..0, before);
    } else if places.next().is_some() || !options.rest.is_empty() {
        return Err(Refusal::new(format!("400 too many arguments\n{usage}")));
    }
    Ok(())
}

/// Checks all values and brings booleans to 0 and 1.
///
/// # Errors
/// With a line for each fault.
pub fn check(table: &Table, call: &Call, options: &mut Options) -> Result<(), String> {
    let mut faults = Faults::new();
    let mut keys = call.params.clone();
    for (name, texts) in &options.lists {
        if let Some(item) = find(&call.params, name).and_then(|property| property.items.as_deref()) {
            for text in texts {
                value(table, name, item, text, &mut faults);
            }
        }
    }
    keys.retain(|name, property| property.kind != "array" || !options.lists.contains_key(name));
    object(table, &keys, &options.values, &mut faults);
    if !faults.is_empty() {
        return Err(faults.iter().map(|(name, what)| format!("{name}: {what}\n")).collect());
    }
    for (name, text) in &mut options.values {
        if find(&call.params, name).is_some_and(|property| property.kind == "boolean") {
            let on = ["1", "on", "yes", "true"].contains(&text.to_lowercase().as_str());
            *text = if on { "1" } else { "0" }.to_owned();
        }
    }
    Ok(())
}

/// An option by its name, or by the beginning of it, as Getopt::Long takes them.
fn option<'a>(call: &'a Call, name: &str) -> Option<(String, &'a Property)> {
    if name == "extra-args" {
        return None;
    }
    if let Some(property) = find(&call.params, name) {
        return Some((name.to_owned(), property));
    }
    let mut beginning = call.params.iter().filter(|(key, _)| !key.contains('[') && key.starts_with(name));
    let (key, property) = beginning.next()?;
    beginning.next().is_none().then(|| (key.clone(), property))
}

/// Options of a REST call that is not made by a command line.
pub fn of(values: BTreeMap<String, String>, lists: BTreeMap<String, Vec<String>>) -> Options {
    Options { values, lists, rest: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Release;

    fn read(command: &str, line: &str) -> Result<Options> {
        let table = Table::of(Release::V9_2).unwrap();
        let words: Vec<String> = line.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        parse(&table, table.command(command).unwrap(), "", &words, &[("node", "pve1")])
    }

    #[test]
    fn options_are_anywhere() {
        let options = read("pct create", "--hostname a 101 --unprivileged local:vztmpl/x.tar.zst --start 0")
            .unwrap_err();
        // a boolean takes what follows unless it looks like an option
        assert!(options.text.contains("not enough arguments"), "{}", options.text);
        let options =
            read("pct create", "--hostname a 101 local:vztmpl/x.tar.zst --unprivileged --start 0").unwrap();
        assert_eq!(
            (options.vmid(), options.flag("unprivileged"), options.flag("start")),
            (101, Some(true), Some(false))
        );
        let options = read("pct exec", "101 --keep-env 0 -- ls -la --color").unwrap();
        assert_eq!(options.rest, ["ls", "-la", "--color"]);
    }

    #[test]
    fn refusals() {
        let unknown = read("pct list", "--output-format json").unwrap_err();
        assert_eq!(
            (unknown.code, unknown.text.as_str()),
            (255, "Unknown option: output-format\n400 unable to parse option\n")
        );
        let text = read("pct set", "101 --memory 1").unwrap_err().text;
        assert_eq!(
            text,
            "400 Parameter verification failed.\nmemory: value must have a minimum value of 16\n"
        );
        assert!(read("pct start", "99").unwrap_err().text.contains("vmid: "));
        assert!(read("pct start", "").unwrap_err().text.contains("not enough arguments"));
        assert!(read("pct start", "101 102").unwrap_err().text.contains("too many arguments"));
    }
}
