use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::marker::PhantomData;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{self, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use job::{Error, OnStop};
use pg_text::PgText;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus};

use crate::PipeReader;

/// What a child reads: twice what `cat` reads at once; more does not stay in the CPU's cache.
const INPUT_SIZE: usize = 256 << 10;
/// How long standard error may stay open (a grandchild holds it) when the process has ended.
const LATE_WORDS: Duration = Duration::from_secs(1);
const LAST_WORDS: usize = 20;
const LINE_LENGTH: u64 = 2000;

/// How a process is asked to end, and how long it may take before it is killed.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    signal: Signal,
    grace: Duration,
}

impl Ending {
    /// SIGTERM and 300 ms: pg_dump cancels its query on the server, psql and others just end.
    pub const QUICK: Self = Self {
        signal: Signal::TERM,
        grace: Duration::from_millis(300),
    };
    /// SIGTERM and 10 s: for a program that undoes what it has begun.
    pub const TIDY: Self = Self {
        signal: Signal::TERM,
        grace: Duration::from_secs(10),
    };
    /// SIGQUIT and 10 s, which is PostgreSQL's "immediate shutdown": the server ends its processes, removes
    /// its shared memory, and writes nothing. For a server whose data nobody wants any more.
    pub const SERVER: Self = Self {
        signal: Signal::QUIT,
        grace: Duration::from_secs(10),
    };
}

impl Default for Ending {
    fn default() -> Self {
        Self::QUICK
    }
}

/// A child process (psql, pg_dump, any COMMAND) in a session of its own, without a terminal.
///
/// Its standard error is collected line by line. All of it, a shell's pipeline too, is killed when a
/// signal stops this program, and when this is dropped before [`Child::wait`]; the process itself also
/// when the thread that started it ends in whatever way (SIGKILL): that is why this cannot be sent to
/// another thread.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: process::Child,
    killer: Killer,
    words: Words,
    on_stop: Option<OnStop>,
    thread_bound: PhantomData<*const ()>,
}

impl Child {
    /// Starts `command`, whose standard input and output are set up already (`Stdio::piped()` where
    /// they are wanted; pipes are made 1 MiB large where the system allows it). Standard error is kept
    /// for the last words only.
    ///
    /// # Errors
    /// There is no such program (the hint names the Debian package), or it cannot be started.
    pub fn spawn(command: Command) -> Result<Self, Error> {
        Self::spawn_with(command, |_| {})
    }

    /// As [`Child::spawn`]; each line of standard error is also given to `on_line` as it comes, in a
    /// thread of its own.
    ///
    /// # Errors
    /// As [`Child::spawn`].
    pub fn spawn_with(
        command: Command,
        on_line: impl FnMut(&str) + Send + 'static,
    ) -> Result<Self, Error> {
        Self::spawn_ending(command, Ending::default(), on_line)
    }

    /// As [`Child::spawn_with`]; it is asked to end, and given time for it, as `ending` says.
    ///
    /// # Errors
    /// As [`Child::spawn`].
    pub fn spawn_ending(
        mut command: Command,
        ending: Ending,
        on_line: impl FnMut(&str) + Send + 'static,
    ) -> Result<Self, Error> {
        let name = program_name(&command);
        command.stderr(Stdio::piped());
        leave_the_terminal(&mut command, ending.signal);
        let killer = Killer::new(ending);
        // Before it runs: a signal that comes while it is started waits for that, and kills it.
        let on_stop = job::on_stop({
            let killer = killer.clone();
            move || killer.terminate()
        });
        let process = killer
            .start(&mut command)
            .map_err(|error| cannot_start(&name, &error))?;
        widen(&process);
        // From here on the process is killed if anything fails.
        let mut child = Self {
            name,
            process,
            killer,
            words: Words::default(),
            on_stop: Some(on_stop),
            thread_bound: PhantomData,
        };
        if let Some(stderr) = child.process.stderr.take() {
            child.words = Words::listen(stderr, on_line)?;
        }
        Ok(child)
    }

    /// The program's name, without its directory.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its standard input, once, if it is a pipe. Whoever takes it must kill the process before
    /// closing it if what was written is not whole: psql commits a COPY that sees end of input.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.process.stdin.take()
    }

    /// Its standard output, once, if it is a pipe.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.process.stdout.take()
    }

    /// Its standard output, once, if it is a pipe: to be read as a stream of many bytes.
    pub fn take_stream(&mut self) -> Option<PipeReader> {
        self.take_stdout().map(PipeReader::new)
    }

    /// Whether it has ended, in whatever way; how, [`Child::ended`] tells.
    pub fn has_ended(&self) -> bool {
        let status = exit_of(Pid::from_child(&self.process), WaitIdOptions::NOHANG);
        !matches!(status, Ok(None))
    }

    /// A handle to kill it with, from any thread.
    pub fn killer(&self) -> Killer {
        self.killer.clone()
    }

    /// Waits until it has ended; standard input is closed if it has not been taken.
    ///
    /// # Errors
    /// It failed, or was killed: with its own last words.
    pub fn wait(self) -> Result<(), Error> {
        self.ended()?.into_result()
    }

    /// Waits until it has ended, in whatever way.
    ///
    /// # Errors
    /// The system does not let us wait.
    pub fn ended(mut self) -> Result<Ended, Error> {
        drop(self.process.stdin.take());
        if !self.wait_for_success() {
            // The rest of a pipeline whose shell failed is of no use.
            self.killer.kill();
        }
        let status = self.reap()?;
        // Killed by it or not: when a signal ends the program, its message is the one to be said.
        drop(self.on_stop.take());
        Ok(Ended {
            name: self.name.clone(),
            status,
            last_words: self.words.last(),
        })
    }

    /// Collects the exit status; nothing can be killed by its number from then on.
    fn reap(&mut self) -> Result<ExitStatus, Error> {
        let mut running = self.killer.running();
        let status = self
            .process
            .wait()
            .map_err(|error| Error::io(format_args!("cannot wait for '{}'", self.name), &error));
        *running = None;
        status
    }

    /// Waits for its end, and leaves the exit status where it is. Whether that is 0.
    fn wait_for_success(&self) -> bool {
        let pid = Pid::from_child(&self.process);
        loop {
            match exit_of(pid, WaitIdOptions::empty()) {
                Ok(Some(status)) => return status.exit_status() == Some(0),
                Err(Errno::INTR) | Ok(None) => {}
                // Nothing to wait for: the one who reaps will say why.
                Err(_) => return true,
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Before standard input is closed, which happens when the fields are dropped.
        self.killer.terminate();
        let _ = self.reap();
    }
}

/// How a child process ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The program's name.
    pub name: String,
    /// Its exit code or the signal that killed it.
    pub status: ExitStatus,
    /// The last lines of its standard error (at most 20, of at most 2,000 bytes each).
    pub last_words: Vec<String>,
}

impl Ended {
    /// An error, unless it ended with exit code 0.
    ///
    /// # Errors
    /// With its own last words, `pg_dump: error: …`, or the exit code or signal where there are none.
    pub fn into_result(self) -> Result<(), Error> {
        if self.status.success() {
            return Ok(());
        }
        let words = self.why();
        let own = words.starts_with(&format!("{}: ", self.name));
        let name = &self.name;
        let message = match (self.status.code(), self.status.signal()) {
            (Some(_), _) if own => words,
            (Some(code), _) => after(format!("'{name}' failed with exit code {code}"), &words),
            (None, Some(signal)) => {
                after(format!("'{name}' was killed by {}", named(signal)), &words)
            }
            (None, None) => after(format!("'{name}' ended"), &words),
        };
        let error = Error::failed(message);
        Err(match remedy(&self.last_words) {
            Some(hint) => error.hint(hint),
            None => error,
        })
    }

    /// The last words that matter, on one line: from the last error on.
    fn why(&self) -> String {
        const MARKS: [&str; 4] = ["error:", "ERROR:", "FATAL:", "PANIC:"];
        let lines = &self.last_words;
        let from = lines
            .iter()
            .rposition(|line| MARKS.iter().any(|mark| line.contains(mark)))
            .unwrap_or_else(|| lines.len().saturating_sub(3));
        let lines: Vec<&str> = lines[from..]
            .iter()
            .take(6)
            .map(|line| line.trim())
            .collect();
        lines.join("; ")
    }
}

fn after(what: String, words: &str) -> String {
    match words {
        "" => what,
        _ => format!("{what}: {words}"),
    }
}

fn named(signal: i32) -> String {
    match Signal::from_named_raw(signal) {
        Some(Signal::KILL) => "SIGKILL (out of memory perhaps)".into(),
        Some(Signal::TERM) => "SIGTERM".into(),
        Some(Signal::INT) => "SIGINT".into(),
        Some(Signal::HUP) => "SIGHUP".into(),
        Some(Signal::PIPE) => "SIGPIPE".into(),
        Some(Signal::SEGV) => "SIGSEGV".into(),
        Some(Signal::ABORT) => "SIGABRT".into(),
        _ => format!("signal {signal}"),
    }
}

/// What helps against the commonest refusals of a server.
fn remedy(lines: &[String]) -> Option<&'static str> {
    let said = |words: &str| lines.iter().any(|line| line.contains(words));
    if said("no password supplied") || said("password authentication failed") {
        Some("give the password in PGPASSWORD or in a file named by PGPASSFILE")
    } else if said("FATAL:  role \"") && said("does not exist") {
        Some("name the role in PGUSER, or with -d 'user=…'")
    } else if said("Is the server running") || said("could not translate host name") {
        Some("name the server in PGHOST and PGPORT, or with -d 'host=… port=…'")
    } else {
        None
    }
}

/// Kills a child process and whatever it started in its session.
#[derive(Debug, Clone)]
pub struct Killer {
    /// Its number, from its start until it is reaped: no longer is the number its own.
    running: Arc<Mutex<Option<Pid>>>,
    ending: Ending,
}

impl Killer {
    fn new(ending: Ending) -> Self {
        let running = Arc::default();
        Self { running, ending }
    }

    /// Kills at once. Nothing happens if it has ended.
    pub fn kill(&self) {
        if let Some(pid) = *self.running() {
            signal(pid, Signal::KILL);
        }
    }

    /// Asks it to end, and does not wait for that: before several are terminated.
    pub fn ask(&self) {
        if let Some(pid) = *self.running() {
            signal(pid, self.ending.signal);
        }
    }

    /// Asks it to end (pg_dump then cancels its query on the server), and kills what is left of it
    /// when it has, or when its time is up (300 ms, if nothing else was said: [`Ending`]).
    pub fn terminate(&self) {
        // Locked until the last signal is sent, so that it is not reaped before that.
        let running = self.running();
        let Some(pid) = *running else { return };
        signal(pid, self.ending.signal);
        let asked = Instant::now();
        let late = || asked.elapsed() >= self.ending.grace;
        while matches!(exit_of(pid, WaitIdOptions::NOHANG), Ok(None)) && !late() {
            thread::sleep(Duration::from_millis(5));
        }
        signal(pid, Signal::KILL);
    }

    /// Starts the process. Whoever wants to kill it waits until it runs.
    fn start(&self, command: &mut Command) -> io::Result<process::Child> {
        let mut running = self.running();
        let process = command.spawn()?;
        *running = Some(Pid::from_child(&process));
        Ok(process)
    }

    fn running(&self) -> MutexGuard<'_, Option<Pid>> {
        lock(&self.running)
    }
}

/// How a process has ended, if it has; its exit status can still be waited for.
fn exit_of(pid: Pid, options: WaitIdOptions) -> Result<Option<WaitIdStatus>, Errno> {
    let options = options | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    rustix::process::waitid(WaitId::Pid(pid), options)
}

/// Sends a signal to a process and all others of its session's first group.
fn signal(pid: Pid, signal: Signal) {
    // Nobody left there is what we want.
    let _ = rustix::process::kill_process_group(pid, signal);
}

/// What a process says on standard error.
#[derive(Debug, Default)]
struct Words {
    lines: Arc<Mutex<VecDeque<String>>>,
    /// Hangs up at end of file.
    end: Option<Receiver<()>>,
}

impl Words {
    fn listen(
        stderr: ChildStderr,
        mut on_line: impl FnMut(&str) + Send + 'static,
    ) -> Result<Self, Error> {
        let lines = Arc::new(Mutex::new(VecDeque::with_capacity(LAST_WORDS)));
        let (open, end) = mpsc::channel();
        let kept = Arc::clone(&lines);
        let listen = move || {
            let _open = open;
            let mut stderr = BufReader::with_capacity(4096, stderr);
            while let Ok(Some(line)) = next_line(&mut stderr) {
                on_line(&line);
                let mut kept = lock(&kept);
                if kept.len() == LAST_WORDS {
                    kept.pop_front();
                }
                kept.push_back(line);
            }
        };
        thread::Builder::new()
            .name("stderr".into())
            .stack_size(256 << 10)
            .spawn(listen)
            .map_err(|error| Error::io("cannot start a thread", &error))?;
        Ok(Self {
            lines,
            end: Some(end),
        })
    }

    /// The last of them, after all have come.
    fn last(&self) -> Vec<String> {
        if let Some(end) = &self.end {
            let _ = end.recv_timeout(LATE_WORDS);
        }
        lock(&self.lines).iter().cloned().collect()
    }
}

/// The next line without its end, cut to the length that is kept; none at end of file.
fn next_line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let length = input
        .by_ref()
        .take(LINE_LENGTH)
        .read_until(b'\n', &mut line)?;
    if length == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        input.skip_until(b'\n')?;
    }
    // In the encoding of whoever says it.
    Ok(Some(PgText::from(line.trim_ascii_end()).to_string()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn program_name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    PgText::from(name).to_string()
}

/// A session of its own: the whole of it can be killed by one number, Ctrl-C reaches this program only,
/// and what would ask for a password on the terminal fails at once instead of being stopped.
#[expect(
    unsafe_code,
    reason = "the standard library has no safe way to run code between fork and exec"
)]
fn leave_the_terminal(command: &mut Command, when_orphaned: Signal) {
    let parent = rustix::process::getpid();
    let prepare = move || {
        rustix::process::setsid()?;
        // A SIGKILLed parent must not leave it waiting for a lock, or a psql that sees end of input.
        rustix::process::set_parent_process_death_signal(Some(when_orphaned))?;
        if rustix::process::getppid() == Some(parent) {
            Ok(())
        } else {
            Err(io::ErrorKind::Interrupted.into())
        }
    };
    // SAFETY: only system calls without allocation or locks are made.
    unsafe { command.pre_exec(prepare) };
}

fn widen(process: &process::Child) {
    // A smaller pipe is slower, no more.
    if let Some(stdin) = &process.stdin {
        let _ = rustix::pipe::fcntl_setpipe_size(stdin, INPUT_SIZE);
    }
}

/// The error of a program that cannot be started.
pub(crate) fn cannot_start(program: &str, error: &io::Error) -> Error {
    let failed = Error::io(format_args!("cannot run '{program}'"), error);
    if error.kind() != io::ErrorKind::NotFound {
        return failed;
    }
    match program {
        "psql" | "pg_dump" | "pg_dumpall" | "pg_isready" => {
            failed.hint("install the Debian package postgresql-client")
        }
        _ => failed.hint("install it, or put its directory on the PATH"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null());
        command
    }

    fn until(what: &str, condition: impl Fn() -> bool) {
        let started = Instant::now();
        while !condition() {
            assert!(started.elapsed() < Duration::from_secs(60), "{what}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn alive(pid: &str) -> bool {
        // A zombie that init has not collected yet is dead.
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
    }

    #[test]
    fn success() {
        Child::spawn(sh("true")).unwrap().wait().unwrap();
    }

    #[test]
    fn its_end_is_seen_before_it_is_waited_for() {
        let mut command = sh("cat");
        command.stdin(Stdio::piped());
        let mut child = Child::spawn(command).unwrap();
        assert!(!child.has_ended());
        drop(child.take_stdin());
        until("ended", || child.has_ended());
        child.wait().unwrap();
    }

    #[test]
    fn last_words() {
        let error = Child::spawn(sh("echo 'sh: error: no luck' >&2; echo more >&2; exit 3"))
            .unwrap()
            .wait()
            .unwrap_err();
        assert_eq!(error.to_string(), "sh: error: no luck; more");
        let error = Child::spawn(sh("echo no luck >&2; exit 3"))
            .unwrap()
            .wait()
            .unwrap_err();
        assert_eq!(error.to_string(), "'sh' failed with exit code 3: no luck");
        let error = Child::spawn(sh("exit 4")).unwrap().wait().unwrap_err();
        assert_eq!(error.to_string(), "'sh' failed with exit code 4");
        let error = Child::spawn(sh("kill -KILL $$"))
            .unwrap()
            .wait()
            .unwrap_err();
        assert!(error.to_string().starts_with("'sh' was killed by SIGKILL"));
    }

    #[test]
    fn words_are_bounded() {
        let script = "i=0; while [ $i -lt 100 ]; do echo line $i >&2; i=$((i+1)); done; \
                      head -c 100000 /dev/zero | tr '\\0' x >&2";
        let ended = Child::spawn(sh(script)).unwrap().ended().unwrap();
        assert_eq!(ended.last_words.len(), LAST_WORDS);
        assert_eq!(ended.last_words[0], "line 81");
        assert_eq!(ended.last_words[LAST_WORDS - 1].len(), 2000);
    }

    #[test]
    fn lines_are_heard_as_they_come() {
        let (heard, lines) = mpsc::channel();
        let child = Child::spawn_with(sh("echo first >&2; sleep 1000"), move |line| {
            heard.send(line.to_owned()).unwrap();
        })
        .unwrap();
        assert_eq!(lines.recv().unwrap(), "first");
        child.killer().kill();
        assert!(child.wait().is_err());
    }

    #[test]
    fn a_whole_pipeline_is_killed() {
        let mut command = sh("trap '' TERM; sleep 1000 & echo $! $$; cat | sleep 1000");
        command.stdout(Stdio::piped());
        let mut child = Child::spawn(command).unwrap();
        let mut line = String::new();
        BufReader::new(child.take_stdout().unwrap())
            .read_line(&mut line)
            .unwrap();
        drop(child);
        for pid in line.split_whitespace() {
            until("killed", || !alive(pid));
        }
    }

    #[test]
    fn it_has_no_terminal() {
        let ended = Child::spawn(sh(": </dev/tty")).unwrap().ended().unwrap();
        assert!(!ended.status.success());
    }

    #[test]
    fn it_does_not_outlive_its_thread() {
        let mut command = Command::new("sleep");
        command.arg("1000").stdin(Stdio::null());
        let pid = thread::spawn(move || {
            let child = Child::spawn(command).unwrap();
            let pid = child.process.id().to_string();
            std::mem::forget(child);
            pid
        })
        .join()
        .unwrap();
        until("ended", || !alive(&pid));
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = Child::spawn(Command::new("no-such-program-here")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot run 'no-such-program-here': No such file or directory"
        );
        assert!(error.hint_text().is_some());
    }
}
