//! Runs a command line and measures each of its programs: wall time, CPU time, peak memory.
//!
//! The CPU time is that of the kernel's books (`/proc/PID/stat` of the process when it has ended and is not
//! yet reaped: its own, and that of the children it waited for), the peak its `VmHWM`, asked for while it
//! runs: `wait4` would count what this program itself has used before `exec`, and the children's.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::Cluster;

/// How often the memory of a program is asked for. Its peak only grows, so that what a program takes in its
/// last moments is all that can be missed.
const SAMPLED: Duration = Duration::from_millis(10);

/// A command line: programs in a pipeline, and where it begins and ends. Words are divided by blanks, and
/// there are no quotes; `$NAME` is a variable of the environment that it is run in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    stages: Vec<Vec<String>>,
    input: Option<String>,
    output: Option<String>,
}

/// What one run took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Measured {
    /// From the start of the first program to the end of the last, in seconds.
    pub(crate) wall: f64,
    /// CPU of all programs and their children, in seconds.
    pub(crate) cpu: f64,
    /// CPU of the program that it is about ([`Line::subject`]), without its children, in seconds.
    pub(crate) own_cpu: f64,
    /// The most memory that this program had at once (RSS), in bytes.
    pub(crate) peak: f64,
    /// The file that was written, in bytes.
    pub(crate) size: f64,
}

/// One program of a pipeline that has ended.
struct Usage {
    own_cpu: f64,
    children_cpu: f64,
    peak: f64,
}

impl Line {
    /// `PROGRAM WORD… | PROGRAM WORD… < INPUT > OUTPUT`; the files at the end, in this order.
    pub(crate) fn parse(line: &str) -> Self {
        let (line, output) = cut(line, " > ");
        let (line, input) = cut(line, " < ");
        let words = |stage: &str| stage.split_whitespace().map(str::to_owned).collect();
        Self {
            stages: line.split(" | ").map(words).collect(),
            input,
            output,
        }
    }

    /// Which of the programs it is about: not the one of PostgreSQL that it dumps or restores with, not `cat`.
    fn subject(&self) -> usize {
        let beside =
            |stage: &Vec<String>| matches!(stage[0].as_str(), "pg_dumpall" | "psql" | "cat");
        let other = self.stages.iter().position(|stage| !beside(stage));
        other.unwrap_or(0)
    }

    /// Runs it in `dir`, on a cluster, and on one CPU only if one is given.
    ///
    /// # Panics
    /// When one of its programs fails.
    pub(crate) fn run(
        &self,
        cluster: &Cluster,
        dir: &Path,
        cpu: Option<usize>,
        env: &[(&str, String)],
    ) -> Measured {
        // The file of the last run: to remove it is not the next one's work.
        let output = self.output.as_ref().map(|name| dir.join(name));
        if let Some(path) = output.as_ref().filter(|path| path.is_file()) {
            fs::remove_file(path).expect("the last run's file");
        }
        let complaints = dir.join("stderr");
        let errors = File::create(&complaints).expect("a file for stderr");
        let mut commands = self.commands(cluster, dir, cpu, env);
        for command in &mut commands {
            command.stderr(errors.try_clone().expect("a file for stderr"));
        }
        let started = Instant::now();
        let mut children = spawn(commands);
        let peaks = wait_sampling(&children);
        let wall = started.elapsed();
        let usages: Vec<Usage> = children
            .iter()
            .zip(peaks)
            .map(|(child, peak)| usage(child.id(), peak))
            .collect();
        for (child, words) in children.iter_mut().zip(&self.stages) {
            let status = child.wait().expect("a child");
            let said = || fs::read_to_string(&complaints).unwrap_or_default();
            assert!(
                status.success(),
                "{}: {status}\n{}",
                words.join(" "),
                said()
            );
        }
        let subject = &usages[self.subject()];
        Measured {
            wall: wall.as_secs_f64(),
            cpu: usages.iter().map(|it| it.own_cpu + it.children_cpu).sum(),
            own_cpu: subject.own_cpu,
            peak: subject.peak,
            size: output
                .and_then(|path| fs::metadata(path).ok())
                .filter(fs::Metadata::is_file)
                .map_or(0.0, |it| it.len() as f64),
        }
    }

    fn commands(
        &self,
        cluster: &Cluster,
        dir: &Path,
        cpu: Option<usize>,
        env: &[(&str, String)],
    ) -> Vec<Command> {
        let value = |word: &String| {
            let name = word.strip_prefix('$');
            let found = env.iter().find(|(known, _)| Some(*known) == name);
            found.map_or_else(|| word.clone(), |(_, value)| value.clone())
        };
        let mut commands: Vec<Command> = self
            .stages
            .iter()
            .map(|words| {
                let mut command = Command::new(match cpu {
                    Some(_) => "taskset",
                    None => &words[0],
                });
                if let Some(cpu) = cpu {
                    command.args(["--cpu-list", &cpu.to_string(), &words[0]]);
                }
                command
                    .args(words[1..].iter().map(value))
                    .envs(cluster.env())
                    .envs(env.iter().map(|(name, value)| (name, value)))
                    .current_dir(dir);
                command.stdin(Stdio::null()).stdout(Stdio::null());
                command
            })
            .collect();
        if let (Some(first), Some(name)) = (commands.first_mut(), &self.input) {
            first.stdin(File::open(dir.join(name)).expect("the input"));
        }
        if let (Some(last), Some(name)) = (commands.last_mut(), &self.output) {
            last.stdout(File::create(dir.join(name)).expect("the output"));
        }
        commands
    }
}

/// What is before the divider, and the one word after it.
fn cut<'a>(line: &'a str, divider: &str) -> (&'a str, Option<String>) {
    match line.rsplit_once(divider) {
        Some((before, after)) => (before, Some(after.trim().to_owned())),
        None => (line, None),
    }
}

/// Starts the programs, each with the one before it as its standard input.
fn spawn(commands: Vec<Command>) -> Vec<Child> {
    let last = commands.len() - 1;
    let mut children: Vec<Child> = Vec::new();
    for (number, mut command) in commands.into_iter().enumerate() {
        if let Some(before) = children.last_mut() {
            command.stdin(before.stdout.take().expect("a pipe"));
        }
        if number < last {
            command.stdout(Stdio::piped());
        }
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        children.push(child);
    }
    children
}

/// Waits until all have ended, without reaping them, and gives the peak memory of each in bytes.
fn wait_sampling(children: &[Child]) -> Vec<f64> {
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut peaks = vec![0.0; children.len()];
            while !ended.load(Ordering::Relaxed) {
                for (child, peak) in children.iter().zip(&mut peaks) {
                    // Always the latest: what was seen before `exec` was this program's.
                    *peak = high_water(child.id()).unwrap_or(*peak);
                }
                thread::park_timeout(SAMPLED);
            }
            peaks
        });
        for child in children {
            let id = WaitId::Pid(Pid::from_child(child));
            waitid(id, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).expect("a child");
        }
        ended.store(true, Ordering::Relaxed);
        sampler.thread().unpark();
        sampler.join().expect("the sampler")
    })
}

/// The peak of a process that runs (proc(5), `VmHWM`, in kB), in bytes.
fn high_water(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024.0)
}

/// The CPU time of a process that has ended (proc(5): utime, stime, cutime and cstime, in ticks).
fn usage(pid: u32, peak: f64) -> Usage {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process that has ended");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number of ticks");
    let second = rustix::param::clock_ticks_per_second() as f64;
    Usage {
        own_cpu: (ticks(11) + ticks(12)) / second,
        children_cpu: (ticks(13) + ticks(14)) / second,
        peak,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_divided() {
        let line = Line::parse("gunzip -c x.gz | psql -q > /dev/null");
        assert_eq!(
            line.stages,
            [vec!["gunzip", "-c", "x.gz"], vec!["psql", "-q"]]
        );
        assert_eq!(
            (line.subject(), line.output.as_deref()),
            (0, Some("/dev/null"))
        );
        let line = Line::parse("pg_dumpall | gzip > out.gz");
        assert_eq!(
            (line.subject(), line.output.as_deref()),
            (1, Some("out.gz"))
        );
        assert_eq!(Line::parse("cat x | azcopy cp $TO").subject(), 1);
        let line = Line::parse("psql -q < plain.sql");
        assert_eq!(
            (line.subject(), line.input.as_deref()),
            (0, Some("plain.sql"))
        );
    }
}
