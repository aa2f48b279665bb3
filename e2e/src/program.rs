//! Runs our programs (and others) and keeps all that can be seen of them.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::{Cluster, postgres, tool};

/// A hung program is killed after this long.
const DEADLINE: Duration = Duration::from_secs(300);

/// The environment of the person who runs the tests must not reach the programs.
const FOREIGN: [&str; 27] = [
    "AZURE_AUTHORITY_HOST",
    "AZURE_CLIENT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_KUBERNETES_CA_DATA",
    "AZURE_KUBERNETES_CA_FILE",
    "AZURE_KUBERNETES_SNI_NAME",
    "AZURE_KUBERNETES_TOKEN_PROXY",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "AZURE_STORAGE_AUTH",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_SAS_TOKEN_FILE",
    "AZURE_TENANT_ID",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGSERVICE",
    "PGSSLMODE",
    "PGOPTIONS",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "http_proxy",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// A program that is about to be run.
#[derive(Debug)]
pub struct Program {
    command: Command,
    input: Option<Vec<u8>>,
    stdout: Option<PathBuf>,
    deadline: Duration,
}

/// Our programs.
pub const PROGRAMS: [&str; 5] = [
    "pgdump-gz",
    "blob-put",
    "blob-prune",
    "backup-verify",
    "restore-stream",
];

impl Program {
    /// One of this workspace's programs: `pgdump-gz`, `blob-put`, …
    ///
    /// # Panics
    /// When it has not been built.
    pub fn new(name: &str) -> Self {
        Self::other(tool::program(name))
    }

    /// Another program, found in `PATH`.
    pub fn other(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        // No server is found by accident; and the programs are found by each other's names in `sh`.
        command
            .env("PGHOST", "/nonexistent")
            .env("PATH", tool::path_with(&[tool::programs()]))
            .stdin(Stdio::null())
            .process_group(0);
        for name in FOREIGN {
            command.env_remove(name);
        }
        Self {
            command,
            input: None,
            stdout: None,
            deadline: DEADLINE,
        }
    }

    /// A line of `sh`, in which our programs are found by name.
    pub fn sh(line: &str) -> Self {
        Self::other("sh").args(["-c", line])
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Not a variable of its environment.
    #[must_use]
    pub fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Its current directory.
    #[must_use]
    pub fn in_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// The cluster that it reaches, as the environment says.
    #[must_use]
    pub fn on(mut self, cluster: &Cluster) -> Self {
        self.command.envs(cluster.env());
        self
    }

    /// More variables of its environment.
    #[must_use]
    pub fn envs<V: AsRef<OsStr>>(
        mut self,
        all: impl IntoIterator<Item = (&'static str, V)>,
    ) -> Self {
        self.command.envs(all);
        self
    }

    /// What its standard input gives.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// A file as its standard input.
    ///
    /// # Panics
    /// When it cannot be opened.
    #[must_use]
    pub fn stdin_file(mut self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.command.stdin(file);
        self
    }

    /// A file that its standard output goes to.
    #[must_use]
    pub fn stdout_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.stdout = Some(path.into());
        self
    }

    /// How long it may take until it is killed as hung; 5 minutes if nothing is said.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(mut self) -> Running {
        if let Some(input) = self.input.take() {
            self.command.stdin(postgres::as_stdin(&input));
        }
        match &self.stdout {
            Some(path) => self.command.stdout(File::create(path).expect("a file")),
            None => self.command.stdout(Stdio::piped()),
        };
        let line = line(&self.command);
        let mut child = self
            .command
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {line}: {error}"));
        Running {
            stdout: child.stdout.take().map(collect),
            stderr: child.stderr.take().map(collect),
            deadline: Instant::now() + self.deadline,
            child,
            line,
        }
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it cannot be started, or hangs.
    pub fn run(self) -> Seen {
        self.spawn().wait()
    }

    /// Runs it; it must exit 0.
    ///
    /// # Panics
    /// When it does not.
    pub fn succeeds(self) -> Seen {
        self.fails(0)
    }

    /// Runs it; it must exit with `code`.
    ///
    /// # Panics
    /// When it does not.
    pub fn fails(self, code: i32) -> Seen {
        let seen = self.run();
        assert_eq!(seen.code(), Some(code), "wanted exit code {code}\n{seen}");
        seen
    }
}

/// A program that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    deadline: Instant,
    line: String,
}

impl Running {
    /// Sends it a signal, if it still runs.
    pub fn signal(&self, signal: Signal) {
        let _ = rustix::process::kill_process(self.pid(), signal);
    }

    /// Whether it runs and catches a signal (`SigCgt` of proc(5)). Before it does, one ends it as it ends any program.
    pub fn heeds(&self, signal: Signal) -> bool {
        let pid = self.pid().as_raw_nonzero();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let caught = status
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:"))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .unwrap_or_default();
        caught & (1 << (signal.as_raw() - 1)) != 0
    }

    /// Sends a signal to it and all that it started.
    pub fn signal_all(&self, signal: Signal) {
        let _ = rustix::process::kill_process_group(self.pid(), signal);
    }

    /// Its process.
    ///
    /// # Panics
    /// Never: a child has a number.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The processes that it has started and that still run.
    ///
    /// # Panics
    /// When there is no `/proc`.
    pub fn children(&self) -> Vec<Pid> {
        let parent = self.pid().as_raw_nonzero().to_string();
        let processes = fs::read_dir("/proc").expect("/proc").flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // `pid (name) state ppid …`; the name may hold anything.
            let after_name = stat.rsplit(')').next().unwrap_or_default();
            after_name.split_whitespace().nth(1) == Some(parent.as_str())
        })
        .filter_map(Pid::from_raw)
        .collect()
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until it ends.
    ///
    /// # Panics
    /// When it hangs: then it and all that it started are killed.
    pub fn wait(mut self) -> Seen {
        let mut hung = false;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            if Instant::now() > self.deadline && !hung {
                hung = true;
                self.signal_all(Signal::KILL);
            }
            thread::sleep(Duration::from_millis(3));
        };
        let read = |stream: Option<JoinHandle<Vec<u8>>>| {
            stream.map_or_else(Vec::new, |thread| thread.join().expect("a stream"))
        };
        let seen = Seen {
            stdout: read(self.stdout.take()),
            stderr: read(self.stderr.take()),
            line: std::mem::take(&mut self.line),
            status,
        };
        assert!(!hung, "it hung and was killed\n{seen}");
        seen
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended() {
            self.signal_all(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// All that was seen of a program that has ended.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The command line.
    pub line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output, where that was not sent to a file.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl Seen {
    /// Its exit code, if no signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Its standard output without the last line's end.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout)
            .trim_end_matches('\n')
            .to_owned()
    }

    /// Its standard error.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Its standard error has these words.
    ///
    /// # Panics
    /// When it has not.
    pub fn says(&self, words: &str) -> &Self {
        assert!(
            self.err().contains(words),
            "wanted {words:?} on standard error\n{self}"
        );
        self
    }

    /// Its standard output has a line with this in it, however wide its columns are.
    ///
    /// # Panics
    /// When it has not.
    #[track_caller]
    pub fn prints(&self, line: &str) -> &Self {
        let narrow = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let wanted = narrow(line);
        let found = self.out().lines().any(|it| narrow(it).contains(&wanted));
        assert!(found, "wanted the line {line:?}\n{self}");
        self
    }

    /// These words are in neither stream.
    ///
    /// # Panics
    /// When they are.
    pub fn hides(&self, words: &str) -> &Self {
        let both = [self.stdout.as_slice(), &self.stderr].concat();
        assert!(
            !String::from_utf8_lossy(&both).contains(words),
            "{words:?} was shown\n{self}"
        );
        self
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}", self.line)?;
        writeln!(f, "{}", self.status)?;
        for (name, stream) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            let shown = stream.len().min(8 << 10);
            let text = String::from_utf8_lossy(&stream[..shown]);
            writeln!(f, "--- {name} ({} bytes)\n{text}", stream.len())?;
        }
        Ok(())
    }
}

/// The command as a person would type it.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<OsString> = words.map(OsStr::to_owned).collect();
    words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .map(
            |word| match word.contains([' ', '\'', '"', '&', '$', '\n']) || word.is_empty() {
                true => format!("'{}'", word.replace('\'', r"'\''")),
                false => word,
            },
        )
        .collect::<Vec<_>>()
        .join(" ")
}

fn collect(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came until then is what there is to show.
        let _ = stream.read_to_end(&mut bytes);
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_seen() {
        let seen = Program::sh("cat; echo oh >&2; exit 3").stdin("in").fails(3);
        assert_eq!(seen.out(), "in");
        seen.says("oh").hides("ah");
        assert!(seen.to_string().starts_with("$ sh -c 'cat; echo oh"));
    }

    #[test]
    #[should_panic(expected = "it hung and was killed")]
    fn a_hung_program_is_killed() {
        Program::sh("sleep 1000; true")
            .deadline(Duration::from_millis(50))
            .run();
    }

    #[test]
    fn a_signal_ends_it() {
        let running = Program::sh("sleep 1000").spawn();
        running.signal_all(Signal::KILL);
        assert_eq!(running.wait().signal(), Some(9));
    }
}
