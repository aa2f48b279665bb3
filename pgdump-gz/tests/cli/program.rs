//! pgdump-gz run by a test, in a directory of the test's own.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

/// How long a test waits for anything before it fails.
const DEADLINE: Duration = Duration::from_secs(120);

/// A directory with the stores and the clients of one test.
pub(crate) struct TestDir {
    root: TempDir,
}

/// How a program ended.
pub(crate) struct Seen {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl TestDir {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for directory in ["bin", "store", "tmp"] {
            fs::create_dir(root.path().join(directory)).unwrap();
        }
        Self { root }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The names in the store, the hidden ones too, but that of the lock's file, which stays.
    pub(crate) fn stored(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("store")).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != ".pgdump-gz.lock")
            .collect();
        names.sort();
        names
    }

    /// A program of the test's own, found before all others.
    pub(crate) fn client(&self, name: &str, script: &str) {
        let draft = self.path(&format!("draft-{name}"));
        fs::write(&draft, format!("#!/bin/sh\n{script}\n")).unwrap();
        // Written by another process: one that another thread forks here while the file is open for
        // writing holds it open too, and the kernel runs no such file ("Text file busy").
        let installed = Command::new("install")
            .args(["--mode=755", "--"])
            .args([draft, self.path("bin").join(name)])
            .status()
            .unwrap();
        assert!(installed.success());
    }

    /// pgdump-gz, which sees nothing of the machine's own PostgreSQL.
    pub(crate) fn program<I: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = I>,
    ) -> Command {
        self.command(env!("CARGO_BIN_EXE_pgdump-gz"), arguments)
    }

    fn command<I: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = I>,
    ) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.root.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        command.env("PATH", path).env("TMPDIR", self.path("tmp"));
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn run<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Seen {
        let mut program = self.program(arguments);
        program.stdout(Stdio::piped()).stderr(Stdio::piped());
        Seen::end_of(program.spawn().unwrap())
    }

    /// What `sh -c script` writes, as a backup.
    pub(crate) fn sh(&self, script: &str) -> Seen {
        self.run(["--", "sh", "-c", script])
    }

    /// Begins `pgdump-gz --dir store -- sh -c script`.
    pub(crate) fn begin(&self, script: &str) -> Child {
        // Tests that are run by nohup(1) would have it ignore SIGHUP.
        let program = ["--default-signal=HUP", env!("CARGO_BIN_EXE_pgdump-gz")];
        let arguments = ["--dir", "store", "--", "sh", "-c", script];
        self.command("env", program.into_iter().chain(arguments))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

impl Seen {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            stdout: output.stdout,
        }
    }

    /// Waits for its end; one that hangs is killed, and is seen as that.
    pub(crate) fn end_of(child: Child) -> Self {
        let pid = rustix::process::Pid::from_child(&child);
        let (ended, end) = mpsc::channel::<()>();
        let watchdog = thread::spawn(move || {
            if end.recv_timeout(DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout) {
                // It has ended in this moment: then there is nobody to kill.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        });
        let output = child.wait_with_output().unwrap();
        drop(ended);
        watchdog.join().unwrap();
        Self::of(output)
    }

    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }

    /// It failed with this code, said these words, and left no backup on standard output.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, words: &str) {
        assert_eq!(self.code, Some(code), "{self}");
        assert!(self.stderr.contains(words), "{words}: {self}");
        assert!(!self.stderr.contains("internal error"), "{self}");
        assert!(!self.stdout.ends_with(&backup_file::MARKER), "{self}");
    }

    /// What `gunzip` makes of its standard output, which is a whole backup.
    #[track_caller]
    pub(crate) fn text(&self) -> String {
        assert!(self.stdout.ends_with(&backup_file::MARKER), "{self}");
        gunzip(&self.stdout)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            code,
            stdout,
            stderr,
        } = self;
        write!(
            f,
            "exit code {code:?}, {} bytes on stdout, stderr:\n{stderr}",
            stdout.len()
        )
    }
}

pub(crate) fn gunzip(bytes: &[u8]) -> String {
    let mut gunzip = Command::new("gunzip")
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = gunzip.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let feeder = thread::spawn(move || stdin.write_all(&bytes));
    let output = gunzip.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    assert!(output.status.success(), "gunzip finds fault");
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until the condition holds.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "not seen: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The process number that a script has written into a file (`echo $$ > FILE`).
pub(crate) fn pid_in(file: &Path) -> String {
    let mut pid = String::new();
    until("a process number", || {
        pid = fs::read_to_string(file).unwrap_or_default();
        pid.ends_with('\n')
    });
    pid.trim().to_owned()
}

/// Whether a process runs; one that only waits to be collected does not.
pub(crate) fn runs(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).unwrap();
}
