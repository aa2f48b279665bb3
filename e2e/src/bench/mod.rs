//! The benchmark: our programs and those that people use today, one after the other in the same run, on
//! data made for it. It prints medians beside the figures to reach; it is no test and judges nothing.

mod archiving;
mod chart;
mod data;
mod delay;
mod groups;
mod measure;
mod one_database;
mod peers;
mod race;
mod recovery;
mod sink;
mod table;
mod wal;

use std::fs;
use std::path::Path;

pub use groups::Group;

use crate::tool;

/// What is measured, and how often.
#[derive(Debug, Clone)]
pub struct Request {
    /// How often each command line is run; the median is printed.
    pub rounds: usize,
    /// What is measured, in this order.
    pub groups: Vec<Group>,
    /// How large the dump is, in megabytes: half easily compressed, half hard.
    pub megabytes: u32,
    /// How large the stream is that memory is measured with, in gigabytes.
    pub gigabytes: u32,
    /// Whether `docs/dump.svg` is drawn, from the group `dump`.
    pub chart: bool,
}

/// Makes the data, runs the groups and prints what was measured.
///
/// # Panics
/// When a command line fails: what was measured then means nothing.
pub fn run(request: &Request) {
    if cfg!(debug_assertions) {
        println!("This is a debug build: run scripts/bench for figures that mean something.\n");
    }
    println!("making {} MB of dump", request.megabytes);
    let data = data::Data::make(request.megabytes);
    println!("{}", data.description());
    for &group in &request.groups {
        for race in group.races(&data, request.gigabytes) {
            let result = race.run(&data, request.rounds);
            print!("{}", table::of(&race, &result));
            if request.chart && group == Group::Dump {
                draw(&chart::svg(&race, &result));
            }
        }
        if group == Group::Start {
            print!("{}", table::sizes(&tool::programs()));
        }
    }
}

fn draw(svg: &str) {
    let path = tool::workspace().join("docs/dump.svg");
    fs::write(&path, svg).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let name = path
        .strip_prefix(tool::workspace())
        .unwrap_or(Path::new(""));
    println!("\nThe chart is in {}.", name.display());
}
