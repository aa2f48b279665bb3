//! A race: command lines that are run in turn, several times, and the figures that follow from it.

use std::fmt;
use std::fs;
use std::io::{self, Write};

use super::data::Data;
use super::measure::{Line, Measured};
use crate::Cluster;

/// Command lines that do the same work, and what is expected of ours.
#[derive(Debug, Default)]
pub(crate) struct Race {
    /// What is done.
    pub(crate) title: &'static str,
    /// The command lines, in the order of each round.
    pub(crate) lines: Vec<String>,
    /// What is to be reached.
    pub(crate) figures: Vec<Figure>,
    /// Whether the programs (not the server) may use one CPU only.
    pub(crate) one_cpu: bool,
    /// Whether each run gets a fresh cluster.
    pub(crate) fresh: bool,
    /// What else is in the environment.
    pub(crate) env: Vec<(&'static str, String)>,
    /// How often, where that is not for the caller to say.
    pub(crate) rounds: Option<usize>,
    /// What runs a line, by its place, where it is no command line.
    pub(crate) by: Option<Run>,
}

/// Something that is measured as a line is.
pub(crate) struct Run(Box<dyn Fn(usize) -> Measured>);

impl Run {
    pub(crate) fn new(run: impl Fn(usize) -> Measured + 'static) -> Self {
        Self(Box::new(run))
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Run")
    }
}

/// What can be measured of a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantity {
    Wall,
    Cpu,
    OwnCpu,
    Peak,
    Size,
}

/// Something to reach: a quantity of ours, or its ratio to another's.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) quantity: Quantity,
    /// One of the race's lines.
    pub(crate) ours: String,
    /// Another one, for a ratio.
    pub(crate) theirs: Option<String>,
    /// At most this: a ratio, seconds or bytes.
    pub(crate) limit: f64,
}

/// What was measured of a race: for each line its runs.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) rows: Vec<Vec<Measured>>,
}

impl Figure {
    /// A ratio of two lines.
    pub(crate) fn ratio(quantity: Quantity, ours: &str, theirs: &str, limit: f64) -> Self {
        let theirs = Some(theirs.to_owned());
        Self {
            theirs,
            ..Self::bound(quantity, ours, limit)
        }
    }

    /// A bound of one line.
    pub(crate) fn bound(quantity: Quantity, ours: &str, limit: f64) -> Self {
        Self {
            quantity,
            ours: ours.to_owned(),
            theirs: None,
            limit,
        }
    }
}

impl Race {
    /// Runs all lines, then all again, and so on: what changes on the machine meanwhile meets them all.
    ///
    /// # Panics
    /// When a line fails.
    pub(crate) fn run(&self, data: &Data, rounds: usize) -> Outcome {
        let cpu = self.one_cpu.then(first_cpu);
        let lines: Vec<Line> = self.lines.iter().map(|line| Line::parse(line)).collect();
        let mut rows = vec![Vec::new(); lines.len()];
        for _ in 0..self.rounds.unwrap_or(rounds) {
            for (at, (line, runs)) in lines.iter().zip(&mut rows).enumerate() {
                if let Some(Run(run)) = &self.by {
                    runs.push(run(at));
                    continue;
                }
                let fresh = self.fresh.then(Cluster::start);
                let cluster = fresh.as_ref().unwrap_or(&data.cluster);
                runs.push(line.run(cluster, data.path(), cpu, &self.env));
            }
            // A sign of life, for a person who waits.
            eprint_dot();
        }
        Outcome { rows }
    }

    /// Where a line is.
    pub(crate) fn index(&self, line: &str) -> Option<usize> {
        self.lines.iter().position(|it| it == line)
    }
}

impl Outcome {
    /// The median of a line's runs.
    pub(crate) fn median(&self, row: usize, of: impl Fn(&Measured) -> f64) -> f64 {
        let mut values: Vec<f64> = self.rows[row].iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() {
            0 => 0.0,
            even if even % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
            _ => values[middle],
        }
    }

    /// The median of a quantity.
    pub(crate) fn quantity(&self, row: usize, quantity: Quantity) -> f64 {
        self.median(row, |run| match quantity {
            Quantity::Wall => run.wall,
            Quantity::Cpu => run.cpu,
            Quantity::OwnCpu => run.own_cpu,
            Quantity::Peak => run.peak,
            Quantity::Size => run.size,
        })
    }
}

fn eprint_dot() {
    let mut stderr = io::stderr();
    let _ = stderr.write_all(b".").and_then(|()| stderr.flush());
}

/// The first CPU that this process may use (proc(5), `Cpus_allowed_list`: `0-1,4`).
fn first_cpu() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status
        .lines()
        .find_map(|it| it.strip_prefix("Cpus_allowed_list:"));
    let first = list.and_then(|it| it.trim().split(['-', ',']).next());
    first.and_then(|it| it.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Each figure of a race is about lines that are run.
    pub(in super::super) fn figures_are_about_lines(race: &Race) {
        for figure in &race.figures {
            for line in [Some(&figure.ours), figure.theirs.as_ref()]
                .into_iter()
                .flatten()
            {
                assert!(race.index(line).is_some(), "{line} in {}", race.title);
            }
        }
    }

    #[test]
    fn the_median_is_the_middle() {
        let of = |walls: &[f64]| {
            let run = |&wall| Measured {
                wall,
                ..Measured::default()
            };
            let outcome = Outcome {
                rows: vec![walls.iter().map(run).collect()],
            };
            outcome.quantity(0, Quantity::Wall)
        };
        assert_eq!(of(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(of(&[4.0, 1.0]), 2.5);
    }
}
