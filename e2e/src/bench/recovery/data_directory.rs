//! A data directory from a base backup.

use std::rc::Rc;
use std::time::Instant;

use super::super::measure::{Line, Measured};
use super::super::race::{Figure, Quantity, Race, Run};
use super::origin::Origin;
use super::pgbackrest::{self, Repositories};
use super::place::Place;

const MEBIBYTE: f64 = 1024.0 * 1024.0;
/// Where it comes.
const INTO: &str = "restored";
const OURS: &str = "restore-stream $STORE --at end --data-dir restored";

/// The files of the base backup, as `pgbackrest restore` restores those of its own: each checked by its checksum, and on
/// the disk at the end. Both leave the WAL to the server.
pub(super) fn restored(
    title: &'static str,
    origin: &Rc<Origin>,
    place: &Place,
    repositories: Option<&Rc<Repositories>>,
) -> Race {
    let mut race = race(title, place.far, repositories.is_some());
    let (origin, place, lines) = (Rc::clone(origin), place.clone(), race.lines.clone());
    let repositories = repositories.cloned();
    if let Some(repositories) = &repositories {
        place.tell(repositories);
    }
    race.by = Some(Run::new(move |at| {
        let mut env = place.env();
        let into = origin.empty(INTO);
        if let Some(repositories) = &repositories {
            env.extend(repositories.env(&place.name, &into));
        }
        let before = place.sent();
        let line = Line::parse(&lines[at]);
        let measured = line.run(&origin.cluster, origin.work.path(), None, &env);
        Measured {
            size: (place.sent() - before) as f64,
            ..measured
        }
    }));
    race
}

fn race(title: &'static str, far: bool, pgbackrest: bool) -> Race {
    let mut race = Race {
        title,
        figures: vec![Figure::bound(Quantity::Peak, OURS, 64.0 * MEBIBYTE)],
        lines: vec![OURS.to_owned()],
        ..Race::default()
    };
    if pgbackrest {
        race.lines.extend(pgbackrest::lines(far));
    }
    for theirs in &race.lines[1..] {
        let figure = Figure::ratio(Quantity::Wall, OURS, theirs, 0.8);
        race.figures.push(figure);
    }
    race
}

const TAR: &str = "igzip -dc $BASE | tar -x -C restored";
const FLUSHED: &str = "igzip -dc $BASE | tar -x -C restored && sync -f restored";

/// The same file, onto the same disk. tar checks no file, and leaves the disk's work for later.
pub(super) fn unpacked(origin: &Rc<Origin>, place: &Place) -> Race {
    let (origin, place) = (Rc::clone(origin), place.clone());
    let run = move |at: usize| {
        let mut env = place.env();
        env.push(("BASE", origin.base.display().to_string()));
        origin.empty(INTO);
        let line = Line::parse(if at == 0 { OURS } else { TAR });
        let measured = line.run(&origin.cluster, origin.work.path(), None, &env);
        let since = Instant::now();
        if at == 2 {
            origin.flush();
        }
        Measured {
            wall: measured.wall + since.elapsed().as_secs_f64(),
            ..measured
        }
    };
    Race {
        by: Some(Run::new(run)),
        ..unpacking()
    }
}

fn unpacking() -> Race {
    Race {
        title: "recovery: a base backup unpacked, without its WAL, from a local directory",
        figures: [TAR, FLUSHED]
            .map(|theirs| Figure::ratio(Quantity::Wall, OURS, theirs, 1.0))
            .into(),
        lines: [OURS, TAR, FLUSHED].map(str::to_owned).into(),
        ..Race::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::race::tests::figures_are_about_lines;
    use super::*;

    #[test]
    fn figures_are_about_lines_that_are_run() {
        for race in [race("", true, true), race("", false, false), unpacking()] {
            figures_are_about_lines(&race);
        }
    }
}
