//! One database of the cluster, as it was at a moment, into the living server.

use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Instant;

use super::super::measure::{Line, Measured};
use super::super::race::{Figure, Quantity, Race, Run};
use super::by_hand::{self, Times};
use super::origin::Origin;
use super::place::Place;

/// What may be read beside the database, the catalogs and the WAL, in bytes.
const BESIDE: f64 = 64e6;
/// What restore-stream says when its private server is started, and when that has recovered.
const REPLAYS: &str = "a private server of PostgreSQL";
const RECOVERED: &str = "recovered to ";

const OURS: &str = "restore-stream $STORE --at $MOMENT --database wanted --as back";

/// What the store sends, TLS and headers with it.
pub(super) fn read(origin: &Rc<Origin>, place: &Place) -> Race {
    let limit = (origin.needed + origin.window_size()) as f64 + BESIDE;
    let (origin, place) = (Rc::clone(origin), place.clone());
    let run = move |_| {
        let before = place.sent();
        let env = env(&origin, &place);
        let measured = Line::parse(OURS).run(&origin.cluster, origin.work.path(), None, &env);
        let sent = place.sent() - before;
        origin.take_away();
        Measured {
            size: sent as f64,
            ..measured
        }
    };
    Race {
        title: "recovery: one database of 1 %, from a service whose answers take 40 ms (file: what it sent)",
        figures: vec![Figure::bound(Quantity::Size, OURS, limit)],
        lines: vec![OURS.to_owned()],
        by: Some(Run::new(run)),
        ..Race::default()
    }
}

/// Beside what a person does without restore-stream: unpack all of the base backup and the WAL, start a server on it, dump
/// the database from there into the living one. Neither server flushes; the person has not removed it in that time.
pub(super) fn beside_replay(origin: &Rc<Origin>, place: &Place) -> Race {
    let (origin, place) = (Rc::clone(origin), place.clone());
    let last = Cell::new(Times::default());
    let run = move |at: usize| {
        match at {
            0 => last.set(timed(&origin, &place)),
            3 => last.set(by_hand::timed(&origin)),
            // Another part of the same run.
            _ => {}
        }
        let Times { wall, replay } = last.get();
        Measured {
            wall: [wall, wall - replay, replay][at % 3],
            ..Measured::default()
        }
    };
    Race {
        by: Some(Run::new(run)),
        ..replaying()
    }
}

fn replaying() -> Race {
    const LESS: [&str; 2] = [
        "restore-stream, less its replay",
        "by hand, less the replay",
    ];
    Race {
        title: "recovery: one database of 1 %, from a local directory; the replay: from its server's start to the promotion",
        figures: vec![
            Figure::ratio(Quantity::Wall, LESS[0], LESS[1], 1.2),
            Figure::ratio(Quantity::Wall, OURS, by_hand::IN_WORDS, 1.2),
        ],
        lines: [
            OURS,
            LESS[0],
            "restore-stream: the replay",
            by_hand::IN_WORDS,
            LESS[1],
            "by hand: the replay",
        ]
        .map(str::to_owned)
        .into(),
        ..Race::default()
    }
}

fn env(origin: &Origin, place: &Place) -> Vec<(&'static str, String)> {
    let mut env = place.env();
    env.push(("MOMENT", origin.moment.clone()));
    env
}

/// Runs a line of restore-stream, and listens to it.
fn timed(origin: &Origin, place: &Place) -> Times {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("exec {OURS}")])
        .envs(origin.cluster.env())
        .envs(env(origin, place))
        .current_dir(origin.work.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    origin.flush();
    let started = Instant::now();
    let mut child = command.spawn().expect("restore-stream");
    let stderr = child.stderr.take().expect("a pipe");
    let mut said = Vec::new();
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        said.push((started.elapsed().as_secs_f64(), line));
    }
    let status = child.wait().expect("restore-stream");
    let wall = started.elapsed().as_secs_f64();
    assert!(status.success(), "{OURS}: {status}\n{said:#?}");
    origin.take_away();
    let when = |words: &str| {
        let found = said.iter().find(|(_, line)| line.contains(words));
        let (when, _) = found.unwrap_or_else(|| panic!("it does not say '{words}'\n{said:#?}"));
        *when
    };
    Times {
        wall,
        replay: when(RECOVERED) - when(REPLAYS),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::race::tests::figures_are_about_lines;
    use super::super::origin::{BACK, WANTED};
    use super::*;

    #[test]
    fn figures_are_about_lines_that_are_run() {
        figures_are_about_lines(&replaying());
    }

    #[test]
    fn the_line_names_the_databases() {
        assert!(OURS.ends_with(&format!("--database {WANTED} --as {BACK}")));
    }
}
