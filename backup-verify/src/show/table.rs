//! The backups of a store as a person sees them on a terminal: one line each, with a bar for the size.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, IsTerminal};

use backup_file::BackupName;
use chrono::{DateTime, Utc};
use job::text::{age, bytes};
use store::Backup;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::read::summary::Summary;

/// The width of a terminal that does not say it.
const WIDTH: usize = 80;
/// How long bars are: shorter ones tell nothing, longer ones no more.
const BAR: std::ops::RangeInclusive<usize> = 6..=30;
/// Eighths of a character.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
const GAP: &str = "  ";

/// A terminal, as far as a table depends on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    /// In columns.
    width: usize,
    /// Whether it shows more than ASCII.
    unicode: bool,
}

#[derive(Debug)]
struct Row {
    name: String,
    started: String,
    age: String,
    size: u64,
    databases: String,
    state: String,
}

impl Terminal {
    /// Standard output, if it is a terminal.
    pub(crate) fn stdout() -> Option<Self> {
        let stdout = io::stdout();
        stdout.is_terminal().then(|| Self {
            width: rustix::termios::tcgetwinsize(&stdout)
                .ok()
                .map(|size| usize::from(size.ws_col))
                .filter(|columns| *columns > 0)
                .unwrap_or(WIDTH),
            unicode: speaks_utf8(|name| env::var(name).ok()),
        })
    }
}

/// Whether the locale is one of UTF-8: the first of these variables that is set and not empty says so.
fn speaks_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(variable)
        .find(|value| !value.is_empty())
        .map(|value| value.to_ascii_lowercase().replace('-', ""))
        .is_some_and(|value| value.contains("utf8"))
}

/// The table of these backups, oldest first, with what is known of each.
pub(crate) fn table(
    backups: &[Backup],
    summaries: &BTreeMap<BackupName, Summary>,
    now: DateTime<Utc>,
    terminal: Terminal,
) -> String {
    let rows: Vec<Row> = backups
        .iter()
        .map(|backup| Row::new(backup, summaries.get(&backup.name), now))
        .collect();
    drawn(&rows, terminal)
}

impl Row {
    fn new(backup: &Backup, summary: Option<&Summary>, now: DateTime<Utc>) -> Self {
        let started = backup.name.started();
        let databases = summary.and_then(|summary| summary.databases);
        Self {
            name: backup.name.to_string(),
            started: started.format("%Y-%m-%d %H:%M:%S").to_string(),
            age: match started > now {
                true => "-".to_owned(),
                false => age(now - started),
            },
            size: backup.size,
            databases: databases.map_or_else(|| "-".to_owned(), |number| number.to_string()),
            // As it is shown, so that its width is known.
            state: summary.map_or_else(String::new, |summary| job::shown(&summary.state)),
        }
    }
}

/// The table in the columns that there is room for. Where names are too long, the moments in them stand in their place.
fn drawn(rows: &[Row], terminal: Terminal) -> String {
    let sizes: Vec<String> = rows.iter().map(|row| bytes(row.size)).collect();
    let column = |title: &str, of: &dyn Fn(&Row) -> &str| -> usize {
        let widths = rows.iter().map(|row| of(row).width());
        widths.chain([title.width()]).max().unwrap_or_default()
    };
    let age = column("age", &|row| &row.age);
    let databases = column("databases", &|row| &row.databases);
    let state = column("state", &|row| &row.state);
    let size = sizes.iter().map(|size| size.width()).max();
    let size = size.unwrap_or_default().max("size".len());
    let numbers = age + size + databases + 4 * GAP.len();

    let name = column("", &|row| &row.name);
    let is_wide = name + numbers + state + GAP.len() + BAR.start() <= terminal.width;
    let title = if is_wide { "backup" } else { "started (UTC)" };
    let named = |row: &Row| match is_wide {
        true => row.name.clone(),
        false => row.started.clone(),
    };
    let first = rows.iter().map(|row| named(row).width()).max();
    let first = first.unwrap_or_default().max(title.len());
    let rest = terminal.width.saturating_sub(first + numbers);
    let state = state.min(rest);
    let bar = rest.saturating_sub(state + GAP.len()).min(*BAR.end());
    let bar = if bar < *BAR.start() { 0 } else { bar };

    let line = |cells: [&str; 5], bar: &str| {
        let [name, old, bytes, number, words] = cells;
        let words = padded(&cut(words, state), state);
        let line = format!(
            "{name:<first$}{GAP}{old:>age$}{GAP}{bytes:>size$}{GAP}{number:>databases$}{GAP}{words}{GAP}{bar}"
        );
        line.trim_end().to_owned() + "\n"
    };
    let largest = rows.iter().map(|row| row.size).max().unwrap_or_default();
    let mut text = line([title, "age", "size", "databases", "state"], "");
    for (row, size) in rows.iter().zip(&sizes) {
        let drawn = drawn_bar(row.size, largest, bar, terminal.unicode);
        let cells = [&named(row), &row.age, size, &row.databases, &row.state];
        text += &line(cells.map(String::as_str), &drawn);
    }
    text
}

/// A bar of `width` columns for the largest, and shorter ones for the others.
fn drawn_bar(size: u64, largest: u64, width: usize, unicode: bool) -> String {
    let share = size as f64 / largest.max(1) as f64;
    if !unicode {
        return "#".repeat((share * width as f64).round() as usize);
    }
    let eighths = (share * (width * 8) as f64).round() as usize;
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

/// The beginning of a text that is no wider than `width` columns, on one line.
fn cut(text: &str, width: usize) -> String {
    let mut cut = String::new();
    for char in text.chars() {
        let char = if char.is_control() { ' ' } else { char };
        if cut.width() + char.width().unwrap_or_default() > width {
            break;
        }
        cut.push(char);
    }
    cut
}

/// Filled up with blanks to `width` columns.
fn padded(text: &str, width: usize) -> String {
    text.to_owned() + &" ".repeat(width.saturating_sub(text.width()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(day: u32, size: u64, state: &str) -> Row {
        let name = format!("postgresql_backup_202511{day:02}_020000.sql.gz");
        let name = BackupName::parse(&name).unwrap();
        let backup = Backup {
            name,
            size,
            sha256: None,
            version: String::new(),
        };
        let summary = Summary {
            databases: (day > 20).then_some(6),
            state: state.to_owned(),
        };
        let now = DateTime::parse_from_rfc3339("2025-11-23T03:00:00Z").unwrap();
        Row::new(&backup, Some(&summary), now.to_utc())
    }

    fn rows() -> Vec<Row> {
        vec![
            row(20, 4 << 20, "of another program"),
            row(21, 8 << 20, "whole"),
            row(22, 0, "bad: it is empty"),
            row(23, (8 << 20) + (1 << 19), "good"),
            row(24, 1 << 20, "whole"),
        ]
    }

    fn terminal(width: usize, unicode: bool) -> Terminal {
        Terminal { width, unicode }
    }

    #[test]
    fn a_wide_terminal_has_the_names() {
        assert_eq!(
            drawn(&rows(), terminal(120, true)),
            "\
backup                                       age      size  databases  state
postgresql_backup_20251120_020000.sql.gz  3 days  4.00 MiB          -  of another program  █████████████▋
postgresql_backup_20251121_020000.sql.gz  2 days  8.00 MiB          6  whole               ███████████████████████████▎
postgresql_backup_20251122_020000.sql.gz    25 h       0 B          6  bad: it is empty
postgresql_backup_20251123_020000.sql.gz  60 min  8.50 MiB          6  good                █████████████████████████████
postgresql_backup_20251124_020000.sql.gz       -  1.00 MiB          6  whole               ███▍
"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 0..140 {
            for unicode in [true, false] {
                let mut rows = rows();
                rows[1].state = "bad: '/バックアップ/\u{7}' is 壊れた".repeat(2);
                let text = drawn(&rows, terminal(width, unicode));
                assert_eq!(text.lines().count(), 6);
                for line in text.lines() {
                    // The table cannot be narrower than 58 columns.
                    assert!(line.width() <= width.max(58), "{width}: {line}");
                    assert!(!line.contains('\u{7}'));
                }
            }
        }
    }

    #[test]
    fn no_backups() {
        let text = drawn(&[], terminal(80, true));
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn bars_are_as_long_as_their_share() {
        assert_eq!(drawn_bar(100, 100, 4, true), "████");
        assert_eq!(drawn_bar(50, 100, 4, true), "██");
        assert_eq!(drawn_bar(28, 100, 4, true), "█▏");
        assert_eq!(drawn_bar(50, 100, 4, false), "##");
        assert_eq!(drawn_bar(0, 100, 4, true), "");
        assert_eq!(drawn_bar(0, 0, 4, true), "");
    }

    #[test]
    fn the_locale_says_what_can_be_shown() {
        let locale = |all: &str, lang: &str| {
            let (all, lang) = (all.to_owned(), lang.to_owned());
            speaks_utf8(move |name| match name {
                "LC_ALL" => Some(all.clone()),
                "LANG" => Some(lang.clone()),
                _ => None,
            })
        };
        assert!(locale("", "de_DE.UTF-8"));
        assert!(locale("C.utf8", ""));
        assert!(!locale("C", "de_DE.UTF-8"));
        assert!(!locale("", ""));
    }
}
