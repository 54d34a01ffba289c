//! `pvesh`: the REST API without the network. Source: PVE::CLI::pvesh.
//!
//! * [`route`]: paths of the API
//! * [`get`]: what is read
//! * [`mod@change`]: what is changed

pub mod change;
pub mod get;
pub mod route;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::json::{compact, pretty};
use crate::options::{self, Options};
use crate::refusal::{Refusal, Result, refuse};
use crate::remote;
use crate::schema::find;
use crate::sim::Sim;
use crate::task;

/// Options of the program itself that take a value.
const OWN: &[&str] = &["output-format"];
/// Those that take none.
const SWITCHES: &[&str] = &["noproxy", "quiet", "noheader", "noborder", "human-readable"];

/// Runs `pvesh`.
///
/// # Errors
/// With what it says.
pub fn main(sim: &Sim, arguments: &[String]) -> Result<i32> {
    let [verb, path, rest @ ..] = arguments else {
        return refuse(
            "ERROR: not enough arguments\npvesh <get|set|create|delete|ls|usage> <api_path> [OPTIONS]",
        );
    };
    let method = match verb.as_str() {
        "get" | "ls" => "GET",
        "set" => "PUT",
        "create" => "POST",
        "delete" => "DELETE",
        _ => return refuse(format!("ERROR: unknown command 'pvesh {verb}'")),
    };
    let found = route::find(sim, method, path);
    let found = found.ok_or_else(|| Refusal::code(1, format!("No '{verb}' handler defined for '{path}'")))?;
    if let Some(node) = found.values.get("node").filter(|node| **node != sim.node.name) {
        if !sim.node.members.contains(node) {
            return refuse(format!("proxy handler failed: no such cluster node '{node}'"));
        }
        return remote::program(sim, node, "pvesh", arguments);
    }
    let (options, format) = read(sim, &found, rest)?;
    sim.before()?;
    let answer =
        if method == "GET" { get::run(sim, &found, &options)? } else { change(sim, &found, &options)? };
    print(&answer, &format);
    Ok(0)
}

/// The result of a change. One that made a task tells the task's name, whatever became of the task.
fn change(sim: &Sim, found: &route::Found, options: &Options) -> Result<Value> {
    let result = change::run(sim, found, options);
    match (result, task::last()) {
        (Ok(_), Some(upid)) => Ok(upid.into()),
        (Ok(answer), None) => Ok(answer),
        (Err(refusal), Some(upid)) => {
            eprintln!("{}", refusal.text.trim());
            Ok(upid.into())
        }
        (Err(refusal), None) => Err(refusal),
    }
}

fn read(sim: &Sim, found: &route::Found, rest: &[String]) -> Result<(Options, String)> {
    let call = sim.table.api.get(&found.name).cloned().unwrap_or_default();
    let mut values = found.values.clone();
    let mut lists: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut format = "text".to_owned();
    let (mut unknown, mut places) = (Vec::new(), false);
    let mut rest = rest.iter().peekable();
    while let Some(argument) = rest.next() {
        let Some(name) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')) else {
            places = true;
            continue;
        };
        let (name, glued) =
            name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value.to_owned())));
        if SWITCHES.contains(&name) {
            rest.next_if(|next| *next == "1" || *next == "0");
            continue;
        }
        let property = find(&call.params, name);
        if property.is_none() && !OWN.contains(&name) {
            unknown.push(format!("Unknown option: {}", name.to_lowercase()));
            continue;
        }
        let boolean = property.is_some_and(|property| property.kind == "boolean");
        let text = match glued {
            Some(text) => text,
            None if boolean => {
                rest.next_if(|next| !next.starts_with('-')).cloned().unwrap_or_else(|| "1".to_owned())
            }
            None => match rest.next() {
                Some(text) => text.clone(),
                None => {
                    unknown.push(format!("Option {name} requires an argument"));
                    continue;
                }
            },
        };
        if name == "output-format" {
            format = text;
        } else if property.is_some_and(|property| property.kind == "array") {
            lists.entry(name.to_owned()).or_default().push(text);
        } else {
            values.insert(name.to_owned(), text);
        }
    }
    if !unknown.is_empty() {
        return refuse(format!("{}\n400 unable to parse option", unknown.join("\n")));
    }
    if places {
        return refuse("400 too many arguments");
    }
    if !["json", "json-pretty", "yaml", "text"].contains(&format.as_str()) {
        let what = format!(
            "value '{format}' does not have a value in the enumeration 'text, json, json-pretty, yaml'"
        );
        return refuse(format!("400 Parameter verification failed.\noutput-format: {what}"));
    }
    let mut options = options::of(values, lists);
    options::check(&sim.table, &call, &mut options)
        .map_err(|text| Refusal::new(format!("400 Parameter verification failed.\n{}", text.trim_end())))?;
    Ok((options, format))
}

fn print(answer: &Value, format: &str) {
    match (answer, format) {
        (Value::Null, _) => {}
        (_, "json") => println!("{}", compact(answer)),
        (_, "json-pretty") => println!("{}", pretty(answer)),
        (Value::String(text), _) => println!("{text}"),
        // the real one draws a table
        (_, _) => println!("{}", pretty(answer)),
    }
}
