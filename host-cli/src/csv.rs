//! Users in a CSV file (RFC 4180): a header line, then a user a line. Pure. There are no passwords in it: a file lies about.

use std::collections::BTreeSet;

use smbgw_api::{GroupName, UserName};

use crate::{Error, Result};

/// Columns that there may be.
const COLUMNS: [&str; 3] = ["name", "uid", "groups"];
/// What people call a column of passwords.
const PASSWORDS: [&str; 6] = ["password", "passwd", "pass", "pwd", "kennwort", "passwort"];

/// A user of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Line of the file.
    pub line: usize,
    /// Name.
    pub name: UserName,
    /// Uid, if it is said.
    pub uid: Option<u32>,
    /// Groups.
    pub groups: Vec<GroupName>,
}

/// Reads the text of a file.
///
/// # Errors
/// Codes `csv-password-column`, `csv-header`, `csv-row`, `csv-twice`; each names the line.
pub fn parse(text: &str) -> Result<Vec<Person>> {
    // Windows programs put a byte order mark first
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut rows = rows(text)?.into_iter().filter(|(_, fields)| fields.iter().any(|field| !field.is_empty()));
    let (_, header) = rows.next().ok_or_else(|| bad_header("it is empty"))?;
    let columns = columns(&header)?;
    let mut people: Vec<Person> = Vec::new();
    for (line, fields) in rows {
        let person = person(line, &columns, &fields)?;
        if let Some(first) = people.iter().find(|other| other.name == person.name) {
            let message = format!("line {line}: {} is in line {} already", person.name, first.line);
            return Err(Error::usage("csv-twice", message).hint("leave one of the two lines out"));
        }
        people.push(person);
    }
    Ok(people)
}

fn columns(header: &[String]) -> Result<Vec<String>> {
    let columns: Vec<String> = header.iter().map(|name| name.trim().to_lowercase()).collect();
    if columns.iter().any(|column| PASSWORDS.contains(&column.as_str())) {
        return Err(Error::usage("csv-password-column", "the file has a column of passwords")
            .hint("leave the column out: files lie about, so passwords are made here and printed once; who wants to choose one says `user passwd`"));
    }
    if let Some(unknown) = columns.iter().find(|column| !COLUMNS.contains(&column.as_str())) {
        return Err(bad_header(&format!(
            "there is no column {:?}",
            unknown.chars().take(60).collect::<String>()
        )));
    }
    let different: BTreeSet<&String> = columns.iter().collect();
    if different.len() < columns.len() {
        return Err(bad_header("a column is there twice"));
    }
    if !columns.iter().any(|column| column == "name") {
        return Err(bad_header("the column name is missing"));
    }
    Ok(columns)
}

fn bad_header(what: &str) -> Error {
    Error::usage("csv-header", format!("the file's first line is not the header that it must be: {what}"))
        .hint(
            "the first line names the columns, separated by commas: name,uid,groups (only name is required)",
        )
}

fn person(line: usize, columns: &[String], fields: &[String]) -> Result<Person> {
    let bad = |what: String| {
        Error::usage("csv-row", format!("line {line}: {what}"))
            .hint("columns are separated by commas, several groups of one user by ';' or spaces")
    };
    if fields.len() > columns.len() {
        return Err(bad(format!("it has {} fields, the header {}", fields.len(), columns.len())));
    }
    let field = |column: &str| {
        let index = columns.iter().position(|name| name == column)?;
        fields.get(index).map(|field| field.trim()).filter(|field| !field.is_empty())
    };
    let name = field("name").ok_or_else(|| bad("the name is missing".to_owned()))?;
    let uid = field("uid").map(|text| {
        let digits = text.chars().all(|c| c.is_ascii_digit());
        text.parse().ok().filter(|_| digits).ok_or_else(|| bad("the uid is no number".to_owned()))
    });
    let groups = field("groups").unwrap_or_default();
    let groups = groups.split([';', ' ']).filter(|group| !group.is_empty());
    let mut distinct: Vec<GroupName> = Vec::new();
    for group in groups {
        let group = GroupName::parse(group).map_err(|error| bad(error.to_string()))?;
        if !distinct.contains(&group) {
            distinct.push(group);
        }
    }
    Ok(Person {
        line,
        name: UserName::parse(name).map_err(|error| bad(error.to_string()))?,
        uid: uid.transpose()?,
        groups: distinct,
    })
}

/// Rows with the number of their first line. A field may be in quotes, and a quote in it is then written twice.
fn rows(text: &str) -> Result<Vec<(usize, Vec<String>)>> {
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut first, mut quoted) = (1, 1, false);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.trim().is_empty() => {
                field.clear();
                quoted = true;
            }
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted && characters.peek() == Some(&'\n') => {}
            '\n' => {
                line += 1;
                if quoted {
                    field.push(c);
                    continue;
                }
                row.push(std::mem::take(&mut field));
                rows.push((first, std::mem::take(&mut row)));
                first = line;
            }
            c => field.push(c),
        }
    }
    if quoted {
        return Err(Error::usage("csv-row", format!("line {first}: a quote is not closed"))
            .hint("a field that begins with \" ends with one, too"));
    }
    if !field.is_empty() || !row.is_empty() {
        row.push(field);
        rows.push((first, row));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(people: &[Person]) -> Vec<&str> {
        people.iter().map(|person| person.name.as_str()).collect()
    }

    #[test]
    fn what_a_spreadsheet_writes() {
        let text = "\u{feff}Name,UID,Groups\r\nalice,1001,\"staff; boss\"\r\nbob,,staff guests staff\r\n\r\n \"carol\" ,,\r\ndave\r\n";
        let people = parse(text).unwrap();
        assert_eq!(names(&people), ["alice", "bob", "carol", "dave"]);
        assert_eq!((people[0].uid, people[0].groups.len(), people[0].line), (Some(1001), 2, 2));
        assert_eq!((people[1].uid, people[1].groups.len()), (None, 2));
        assert_eq!((people[2].line, people[3].line), (5, 6));
        assert_eq!(names(&parse("groups,name\n,eve").unwrap()), ["eve"]);
    }

    #[test]
    fn each_mistake_has_its_own_words() {
        for (text, code, word) in [
            ("", "csv-header", "empty"),
            ("alice\nbob\n", "csv-header", "alice"),
            ("uid\n1\n", "csv-header", "name is missing"),
            ("name,name\n", "csv-header", "twice"),
            ("name;uid\nalice;1001\n", "csv-header", "name;uid"),
            ("name,Password\nalice,hunter2\n", "csv-password-column", "passwords"),
            ("name,uid\nalice,1,2\n", "csv-row", "3 fields"),
            ("name,uid\nalice,12a\n", "csv-row", "line 2"),
            ("name,uid\nalice,-1\n", "csv-row", "no number"),
            ("name,uid\n,1001\n", "csv-row", "name is missing"),
            ("name\nAlice\n", "csv-row", "lower-case"),
            ("name\nroot\n", "csv-row", "system"),
            ("name,groups\nalice,@staff\n", "csv-row", "without '@'"),
            ("name\n\"alice\n", "csv-row", "not closed"),
            ("name\nalice\n\nalice\n", "csv-twice", "line 4"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.code, code, "{text}: {error}");
            assert!(error.message.contains(word) && error.hint.is_some(), "{text}: {error}");
            assert!(!error.chain().contains("hunter2"));
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(name|uid|groups|[,;\"\r\n a-z@]){0,30}") {
            let _ = parse(&text);
        }

        #[test]
        fn fields_read_back(fields in proptest::collection::vec("\\PC{0,10}", 1..5)) {
            let quoted: Vec<String> =
                fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
            prop_assert_eq!(rows(&format!("{}\n", quoted.join(","))).unwrap(), vec![(1, fields)]);
        }
    }
}
