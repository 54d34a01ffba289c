//! Path patterns, beside a second reading of fnmatch(3) that is slow and plain.

use smbgw_builder::glob::Glob;

/// Longer ones only take more time.
const LONGEST: usize = 300;

/// The first line is the pattern, the rest the path.
pub fn glob(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let (pattern, path) = text.split_once('\n').unwrap_or((text, ""));
    if text.len() > LONGEST {
        return;
    }
    let Ok(glob) = Glob::parse(pattern) else {
        return;
    };
    assert_eq!(glob.as_str(), pattern);
    assert_eq!(Glob::parse(glob.as_str()).as_ref(), Ok(&glob));
    assert_eq!(glob.matches(path), matches(pattern.as_bytes(), path.as_bytes()), "{pattern:?} {path:?}");
}

/// For each rest of the path whether the rest of the pattern takes it: from the pattern's end to its begin.
fn matches(pattern: &[u8], path: &[u8]) -> bool {
    let mut starts = Vec::new();
    let mut at = 0;
    while at < pattern.len() {
        starts.push(at);
        at += length(&pattern[at..]);
    }
    // after the pattern's end nothing may be left
    let mut takes = vec![false; path.len() + 1];
    takes[path.len()] = true;
    for &start in starts.iter().rev() {
        let part = &pattern[start..start + length(&pattern[start..])];
        let mut before = vec![false; path.len() + 1];
        for from in (0..=path.len()).rev() {
            before[from] = match part {
                b"*" => takes[from] || (from < path.len() && before[from + 1]),
                _ => from < path.len() && one(part, path[from]) && takes[from + 1],
            };
        }
        takes = before;
    }
    takes[0]
}

/// Bytes of the first part of a pattern.
fn length(pattern: &[u8]) -> usize {
    if pattern[0] != b'[' {
        return 1;
    }
    // the first member may be a bracket
    let members = if matches!(pattern.get(1), Some(b'!' | b'^')) { 2 } else { 1 };
    let close = pattern[members + 1..].iter().position(|&byte| byte == b']').expect("it was parsed");
    members + 1 + close + 1
}

fn one(part: &[u8], byte: u8) -> bool {
    match part {
        b"?" => true,
        [literal] => *literal == byte,
        [b'[', b'!' | b'^', members @ .., b']'] => !member(members, byte),
        [b'[', members @ .., b']'] => member(members, byte),
        _ => false,
    }
}

fn member(members: &[u8], byte: u8) -> bool {
    match members {
        [low, b'-', high, rest @ ..] => (*low..=*high).contains(&byte) || member(rest, byte),
        [single, rest @ ..] => *single == byte || member(rest, byte),
        [] => false,
    }
}
