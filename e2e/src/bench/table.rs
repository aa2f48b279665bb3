//! What was measured, for a person.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::race::{Figure, Outcome, Quantity, Race};
use crate::program::PROGRAMS;

const MEGABYTE: f64 = 1e6;
const MEBIBYTE: f64 = 1024.0 * 1024.0;
/// A program that ends sooner was hardly seen: its peak says nothing, in seconds.
const SEEN: f64 = 0.02;
/// The largest that a program may be.
const LARGEST: f64 = 4.0;

/// A race's table, and its figures.
pub(crate) fn of(race: &Race, outcome: &Outcome) -> String {
    let mut text = format!("\n\n{}\n\n", race.title);
    let width = race.lines.iter().map(String::len).max().unwrap_or(0);
    let _ = writeln!(
        text,
        "  {:width$}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}",
        "", "wall", "CPU", "own CPU", "peak MiB", "file MB"
    );
    for (row, line) in race.lines.iter().enumerate() {
        let wall = outcome.quantity(row, Quantity::Wall);
        let peak = outcome.quantity(row, Quantity::Peak) / MEBIBYTE;
        let size = outcome.quantity(row, Quantity::Size) / MEGABYTE;
        let _ = writeln!(
            text,
            "  {line:width$}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}",
            seconds(wall),
            cpu(outcome.median(row, |run| run.cpu)),
            cpu(outcome.quantity(row, Quantity::OwnCpu)),
            shown(peak, wall > SEEN),
            shown(size, size > 0.0),
        );
    }
    text.push('\n');
    for figure in &race.figures {
        let _ = writeln!(text, "  {}", sentence(race, outcome, figure));
    }
    text
}

/// `pgdump-gz > out: 1.05 of pg_dumpall > /dev/null, wall (to reach: at most 1.10)`.
fn sentence(race: &Race, outcome: &Outcome, figure: &Figure) -> String {
    let value = |line: &str| {
        let row = race.index(line);
        row.map_or(f64::NAN, |row| outcome.quantity(row, figure.quantity))
    };
    let (ours, limit) = (value(&figure.ours), figure.limit);
    let what = match figure.quantity {
        Quantity::Wall => "wall",
        Quantity::Cpu => "CPU",
        Quantity::OwnCpu => "own CPU",
        Quantity::Peak => "peak memory",
        Quantity::Size => "size",
    };
    match &figure.theirs {
        Some(theirs) => format!(
            "{what}, '{}' to '{theirs}': {:.3} (to reach: at most {limit:.3})",
            figure.ours,
            ours / value(theirs),
        ),
        None => {
            let shown = |value| match figure.quantity {
                Quantity::Peak | Quantity::Size => format!("{:.1} MiB", value / MEBIBYTE),
                Quantity::Wall | Quantity::Cpu | Quantity::OwnCpu => seconds(value),
            };
            format!(
                "{what}, '{}': {} (to reach: at most {})",
                figure.ours,
                shown(ours),
                shown(limit),
            )
        }
    }
}

/// A number, where it means something.
fn shown(number: f64, means_something: bool) -> String {
    match means_something {
        true => format!("{number:.1}"),
        false => String::new(),
    }
}

/// CPU time, of which the kernel says no more than hundredths of a second.
fn cpu(time: f64) -> String {
    match time > 0.0 {
        true => seconds(time),
        false => "< 10 ms".to_owned(),
    }
}

/// Seconds, or milliseconds where they are few.
pub(crate) fn seconds(seconds: f64) -> String {
    match seconds < 0.1 {
        true => format!("{:.1} ms", seconds * 1000.0),
        false => format!("{seconds:.2} s"),
    }
}

/// The sizes of our programs.
pub(crate) fn sizes(dir: &Path) -> String {
    let mut text = "\n".to_owned();
    for program in PROGRAMS {
        let size = fs::metadata(dir.join(program)).map_or(f64::NAN, |it| it.len() as f64);
        let _ = writeln!(
            text,
            "  size of {program}: {:.2} MiB (to reach: at most {LARGEST:.0} MiB)",
            size / MEBIBYTE
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::measure::Measured;
    use super::*;

    #[test]
    fn figures_are_set_beside_what_is_to_be_reached() {
        let race = Race {
            title: "a race",
            lines: vec!["ours".into(), "theirs".into()],
            figures: vec![
                Figure::ratio(Quantity::Wall, "ours", "theirs", 1.1),
                Figure::bound(Quantity::Peak, "ours", 32.0 * MEBIBYTE),
            ],
            ..Race::default()
        };
        let run = |wall| Measured {
            wall,
            peak: 12.5 * MEBIBYTE,
            ..Measured::default()
        };
        let outcome = Outcome {
            rows: vec![vec![run(1.0)], vec![run(2.0)]],
        };
        let text = of(&race, &outcome);
        assert!(
            text.contains("wall, 'ours' to 'theirs': 0.500 (to reach: at most 1.100)"),
            "{text}"
        );
        assert!(
            text.contains("peak memory, 'ours': 12.5 MiB (to reach: at most 32.0 MiB)"),
            "{text}"
        );
    }
}
