//! What was committed, and when.

use chrono::{NaiveDateTime, TimeDelta};
use e2e::{Chance, Cluster};

/// The rows of a table with the times of their commits, which are those in the WAL.
const COMMITS: &str = "select i || '|' || to_char(pg_xact_commit_timestamp(xmin) at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') from commits order by i";

/// A commit: a row's number, and when it was committed.
pub(crate) type Commit = (usize, String);

pub(super) fn commits(cluster: &Cluster) -> Vec<Commit> {
    commits_in("postgres", cluster)
}

pub(super) fn commits_in(database: &str, cluster: &Cluster) -> Vec<Commit> {
    let lines = cluster.sql(database, COMMITS);
    let commit = |line: &str| {
        let (number, time) = line.split_once('|').unwrap();
        (number.parse().unwrap(), time.to_owned())
    };
    lines.lines().map(commit).collect()
}

pub(super) fn numbers(cluster: &Cluster) -> Vec<usize> {
    numbers_in("postgres", "commits", cluster)
}

pub(super) fn numbers_in(database: &str, table: &str, cluster: &Cluster) -> Vec<usize> {
    let lines = cluster.sql(database, &format!("select i from {table} order by i"));
    lines.lines().map(|line| line.parse().unwrap()).collect()
}

/// What is wanted of it at a moment.
pub(super) fn until(commits: &[Commit], time: &str) -> Vec<usize> {
    let before = commits.iter().filter(|(_, it)| it.as_str() <= time);
    before.map(|(number, _)| *number).collect()
}

/// How COMMITS and PostgreSQL have a moment.
const FORM: &str = "%Y-%m-%d %H:%M:%S%.6f";

fn time(text: &str) -> NaiveDateTime {
    NaiveDateTime::parse_from_str(text, FORM).unwrap()
}

/// The microseconds between two commits.
pub(super) fn span(one: &Commit, next: &Commit) -> usize {
    let span = time(&next.1) - time(&one.1);
    span.num_microseconds().unwrap().try_into().unwrap()
}

pub(super) fn later(moment: &str, micros: usize) -> String {
    let micros = TimeDelta::microseconds(micros.try_into().unwrap());
    (time(moment) + micros).format(FORM).to_string()
}

/// A moment at a commit, or before the next: a microsecond later, or long after it.
pub(super) fn some_moment(chance: &mut Chance, commits: &[Commit]) -> String {
    let at = chance.below(commits.len() - 1);
    let (one, next) = (&commits[at], &commits[at + 1]);
    later(&one.1, chance.below(span(one, next).max(1)))
}
