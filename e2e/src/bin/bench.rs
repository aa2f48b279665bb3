//! The benchmark: `scripts/bench`.

use clap::Parser;
use e2e::bench::{self, Group, Request};

/// Measures the programs and those that people use today, in turn, on data made for it.
///
/// Prints medians, and ratios beside the figures to reach. It judges nothing: only a command line that fails
/// ends it.
#[derive(Debug, Parser)]
struct Args {
    /// Make a dump of about so many megabytes
    #[arg(long, value_name = "N", default_value_t = 700, value_parser = clap::value_parser!(u32).range(20..=100_000))]
    megabytes: u32,

    /// Measure memory with a stream of so many gigabytes
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    gigabytes: u32,

    /// Draw docs/dump.svg from the group dump
    #[arg(long)]
    chart: bool,

    /// How often each command line is run [default: 5], then the groups: dump, one-cpu, compress, verify,
    /// read, restore, one-database, transfer, rate, wal, recovery, memory, start
    /// [default: all but wal, recovery and memory]
    #[arg(value_name = "ROUNDS | GROUP")]
    words: Vec<String>,
}

/// How often each command line is run when nothing is said.
const ROUNDS: usize = 5;

fn main() {
    let args = Args::parse();
    bench::run(&request(&args).unwrap_or_else(|error| error.exit()));
}

fn request(args: &Args) -> Result<Request, clap::Error> {
    let wrong = |what: String| clap::Error::raw(clap::error::ErrorKind::InvalidValue, what + "\n");
    let (rounds, names) = match args.words.split_first() {
        Some((first, rest)) if first.bytes().all(|it| it.is_ascii_digit()) => {
            let rounds = first.parse().ok().filter(|&it| it > 0);
            let rounds = rounds.ok_or_else(|| wrong(format!("no number of rounds: '{first}'")))?;
            (rounds, rest)
        }
        _ => (ROUNDS, &args.words[..]),
    };
    let groups: Result<Vec<Group>, String> = names.iter().map(|name| name.parse()).collect();
    let groups = match groups.map_err(wrong)? {
        none if none.is_empty() => Group::usual(),
        some => some,
    };
    Ok(Request {
        rounds,
        groups,
        megabytes: args.megabytes,
        gigabytes: args.gigabytes,
        chart: args.chart,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &[&str]) -> Result<Request, clap::Error> {
        request(&Args::parse_from(["bench"].iter().chain(words)))
    }

    #[test]
    fn rounds_come_first_and_groups_follow() {
        let usual = asked(&[]).unwrap();
        assert_eq!((usual.rounds, usual.groups), (5, Group::usual()));
        let some = asked(&["3", "dump", "start", "--chart"]).unwrap();
        assert_eq!(
            (some.rounds, some.groups),
            (3, vec![Group::Dump, Group::Start])
        );
        assert!(some.chart);
        let one = asked(&["memory"]).unwrap();
        assert_eq!((one.rounds, one.groups), (5, vec![Group::Memory]));
        assert!(asked(&["0"]).is_err());
        assert!(asked(&["dump", "3"]).is_err());
    }
}
