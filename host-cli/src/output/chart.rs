//! Figures in characters: sparklines, bars, and columns that give way where there is little room. Pure; no line is wider than
//! what was asked for.

use unicode_width::UnicodeWidthStr;

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How text is set off (ECMA-48, SGR). What is no terminal gets it without.
#[derive(Debug, Clone, Copy)]
pub enum Style {
    /// What it is about.
    Bold,
    /// Beside the point.
    Dim,
    /// Wrong.
    Red,
    /// Reads.
    Cyan,
    /// Writes.
    Yellow,
}

/// Text in a style.
pub fn paint(style: Style, text: &str) -> String {
    let code = match style {
        Style::Bold => 1,
        Style::Dim => 2,
        Style::Red => 31,
        Style::Yellow => 33,
        Style::Cyan => 36,
    };
    if text.is_empty() { String::new() } else { format!("\u{1b}[{code}m{text}\u{1b}[0m") }
}

/// Columns of a terminal that text takes, whatever its style.
pub fn width(text: &str) -> usize {
    if text.contains('\u{1b}') {
        anstream::adapter::strip_str(text).to_string().width()
    } else {
        text.width()
    }
}

/// Text without style, in at most so many columns.
pub fn fit(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let mut cut = String::new();
    for c in text.chars() {
        cut.push(c);
        if cut.width() + 1 > room {
            cut.pop();
            break;
        }
    }
    if room > 0 {
        cut.push('…');
    }
    cut
}

/// Spaces behind text, up to a width.
pub fn pad(text: &str, room: usize) -> String {
    format!("{text}{}", " ".repeat(room.saturating_sub(width(text))))
}

/// Spaces before text, up to a width.
pub fn pad_left(text: &str, room: usize) -> String {
    format!("{}{text}", " ".repeat(room.saturating_sub(width(text))))
}

/// Values as a line of bars, the newest at the right; the largest that is shown is as high as a line. Unknown ones are gaps.
pub fn sparkline(values: &[Option<f64>], room: usize) -> String {
    let shown = newest(values, room);
    let most = largest(values, room);
    let bar = |value: &Option<f64>| match value {
        None => ' ',
        // what is little is more than nothing
        Some(value) if *value > 0.0 && most > 0.0 => {
            LEVELS[1 + ((value / most * 6.0).round() as usize).min(6)]
        }
        Some(_) => LEVELS[0],
    };
    let line: String = shown.iter().map(bar).collect();
    pad_left(&line, room)
}

/// The largest value in the line of bars.
pub fn largest(values: &[Option<f64>], room: usize) -> f64 {
    newest(values, room).iter().flatten().copied().fold(0.0, f64::max)
}

fn newest(values: &[Option<f64>], room: usize) -> &[Option<f64>] {
    &values[values.len().saturating_sub(room)..]
}

/// A part of a whole as a bar.
pub fn bar(part: u64, whole: u64, room: usize) -> String {
    let share = if whole == 0 { 0.0 } else { (part as f64 / whole as f64).min(1.0) };
    let full = (share * room as f64).round() as usize;
    format!("{}{}", "█".repeat(full), "░".repeat(room - full))
}

/// Text without style over as many lines as it needs.
pub fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(fit(word, room)),
        }
    }
    lines
}

/// Parts with a dot between them, over as many lines as they need.
pub fn flow(parts: &[String], room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line) if width(line) + 3 + width(part) <= room => {
                line.push_str(" · ");
                line.push_str(part);
            }
            _ if width(part) <= room => lines.push(part.clone()),
            _ => lines.push(fit(&anstream::adapter::strip_str(part).to_string(), room)),
        }
    }
    lines
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    head: &'static str,
    right: bool,
    rank: u8,
    least: Option<usize>,
}

impl Column {
    /// Of names, which may be cut to a width. Of all columns, the one with the highest rank goes first.
    pub const fn names(head: &'static str, rank: u8, least: usize) -> Self {
        Self { head, right: false, rank, least: Some(least) }
    }

    /// Of words that are never cut.
    pub const fn words(head: &'static str, rank: u8) -> Self {
        Self { head, right: false, rank, least: None }
    }

    /// Of numbers.
    pub const fn numbers(head: &'static str, rank: u8) -> Self {
        Self { head, right: true, rank, least: None }
    }
}

/// A table with a dim head, in at most so many columns of the terminal. Columns in which nothing is are left out.
pub fn columns(columns: &[Column], rows: &[Vec<String>], room: usize) -> Vec<String> {
    let cell = |row: &[String], index: usize| row.get(index).cloned().unwrap_or_default();
    let mut kept: Vec<usize> = (0..columns.len())
        .filter(|index| rows.is_empty() || rows.iter().any(|row| !cell(row, *index).is_empty()))
        .collect();
    let natural = |index: usize| {
        let cells = rows.iter().map(|row| cell(row, index).width()).max().unwrap_or(0);
        cells.max(columns[index].head.width())
    };
    let (widths, gap) = loop {
        let wanted: Vec<usize> = kept.iter().map(|index| natural(*index)).collect();
        let least: Vec<Option<usize>> = kept.iter().map(|index| columns[*index].least).collect();
        let found = [(2, false), (1, false), (1, true)]
            .into_iter()
            .find_map(|(gap, cut)| Some((squeeze(&wanted, &least, gap, cut, room)?, gap)));
        if let Some(found) = found {
            break found;
        }
        match kept.iter().enumerate().max_by_key(|(_, index)| columns[**index].rank) {
            Some((place, _)) if kept.len() > 1 => {
                kept.remove(place);
            }
            _ => break (vec![room; kept.len()], 0),
        }
    };
    let line = |cells: Vec<String>| {
        let cells = cells.iter().zip(&kept).zip(&widths).map(|((cell, index), width)| {
            let cell = fit(cell, *width);
            if columns[*index].right { pad_left(&cell, *width) } else { pad(&cell, *width) }
        });
        cells.collect::<Vec<_>>().join(&" ".repeat(gap)).trim_end().to_owned()
    };
    let head = line(kept.iter().map(|index| columns[*index].head.to_owned()).collect());
    let body = rows.iter().map(|row| line(kept.iter().map(|index| cell(row, *index)).collect()));
    std::iter::once(paint(Style::Dim, &head)).chain(body).collect()
}

/// Widths that fit, if there are any.
fn squeeze(
    wanted: &[usize],
    least: &[Option<usize>],
    gap: usize,
    cut: bool,
    room: usize,
) -> Option<Vec<usize>> {
    let mut widths = wanted.to_vec();
    let gaps = gap * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > room {
        let spare = |place: &usize| least[*place].map_or(0, |least| widths[*place].saturating_sub(least));
        let widest = (0..widths.len()).filter(|place| cut && spare(place) > 0).max_by_key(|p| widths[*p])?;
        widths[widest] -= 1;
    }
    Some(widths)
}

/// Two blocks side by side; the left one is at most so wide.
pub fn beside(left: &[String], right: &[String], left_width: usize, gap: usize) -> Vec<String> {
    let none = String::new();
    (0..left.len().max(right.len()))
        .map(|row| {
            let (left, right) = (left.get(row).unwrap_or(&none), right.get(row).unwrap_or(&none));
            if right.is_empty() { left.clone() } else { format!("{}{right}", pad(left, left_width + gap)) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparklines() {
        let values = [None, Some(0.0), Some(0.001), Some(5.0), Some(10.0)];
        assert_eq!(sparkline(&values, 5), " ▁▂▅█");
        assert_eq!(sparkline(&values, 2), "▅█");
        assert_eq!(sparkline(&values, 8), "    ▁▂▅█");
        assert_eq!(sparkline(&[Some(0.0), Some(0.0)], 2), "▁▁");
        // what is not shown does not scale
        assert_eq!(sparkline(&[Some(1000.0), Some(1.0)], 1), "█");
        assert_eq!(sparkline(&[Some(f64::NAN), Some(f64::INFINITY)], 2).chars().count(), 2);
    }

    #[test]
    fn bars() {
        assert_eq!(bar(0, 10, 4), "░░░░");
        assert_eq!(bar(5, 10, 4), "██░░");
        assert_eq!(bar(20, 10, 4), "████");
        assert_eq!(bar(1, 0, 4), "░░░░");
    }

    #[test]
    fn text_is_cut_by_what_it_takes() {
        assert_eq!(fit("abcdef", 6), "abcdef");
        assert_eq!(fit("abcdef", 4), "abc…");
        assert_eq!(fit("漢字漢字", 5), "漢字…");
        assert_eq!(fit("漢字漢字", 4), "漢…");
        assert_eq!((fit("abc", 1), fit("abc", 0)), ("…".to_owned(), String::new()));
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(width(&paint(Style::Red, "漢")), 2);
    }

    #[test]
    fn columns_give_way() {
        let heads = [Column::names("NAME", 0, 4), Column::numbers("A", 1), Column::numbers("B", 2)];
        let rows = [vec!["accounting".to_owned(), "12".to_owned(), "345".to_owned()]];
        let plain = |room| {
            let lines = columns(&heads, &rows, room);
            lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect::<Vec<_>>()
        };
        assert_eq!(plain(19), ["NAME         A    B", "accounting  12  345"]);
        assert_eq!(plain(17), ["NAME        A   B", "accounting 12 345"]);
        assert_eq!(plain(14), ["NAME     A   B", "accoun… 12 345"]);
        assert_eq!(plain(10), ["NAME     A", "accoun… 12"]);
        assert_eq!(plain(3), ["NA…", "ac…"]);
    }
}
