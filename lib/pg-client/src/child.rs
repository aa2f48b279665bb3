//! A client program, or any other command, as a child process that ends when this program does.

mod ended;
mod killer;
mod stderr;

use std::io;
use std::marker::PhantomData;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use job::OnStop;
use pg_text::PgText;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitIdOptions};

pub use ended::{Ended, is_error_line};
use killer::exit_of;
pub use killer::{Ending, Killer};
use stderr::StderrReader;

use crate::{Error, ErrorKind, PipeReader};

/// What a child reads: twice what `cat` reads at once; more does not stay in the CPU's cache.
const INPUT_SIZE: usize = 256 << 10;

/// A child process (psql, pg_dump, any COMMAND) in a session of its own, without a terminal.
///
/// Its standard error is collected line by line. All of it, a shell's pipeline too, is killed when a signal stops this
/// program, and when this is dropped before [`Child::wait`]. The process itself is killed also when the thread that
/// started it ends, in whatever way (SIGKILL): therefore this cannot be sent to another thread.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: process::Child,
    killer: Killer,
    stderr: StderrReader,
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
            stderr: StderrReader::default(),
            on_stop: Some(on_stop),
            thread_bound: PhantomData,
        };
        if let Some(stderr) = child.process.stderr.take() {
            child.stderr = StderrReader::start(stderr, on_line)?;
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
            last_words: self.stderr.last_lines(),
        })
    }

    /// Collects the exit status; nothing can be killed by its number from then on.
    fn reap(&mut self) -> Result<ExitStatus, Error> {
        let mut running = self.killer.running();
        let status = self.process.wait().map_err(|error| {
            let doing = format_args!("cannot wait for '{}'", self.name);
            Error::io(ErrorKind::System, doing, &error)
        });
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
    let doing = format_args!("cannot run '{program}'");
    let failed = Error::io(ErrorKind::Program, doing, error);
    if error.kind() != io::ErrorKind::NotFound {
        return failed;
    }
    match program {
        "psql" | "pg_dump" | "pg_dumpall" | "pg_isready" | "pg_basebackup" => {
            failed.hint("install the Debian package postgresql-client")
        }
        _ => failed.hint("install it, or put its directory on the PATH"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::sync::mpsc;
    use std::thread;
    use std::time::{Duration, Instant};

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
        assert_eq!(ended.last_words.len(), stderr::LINES);
        assert_eq!(ended.last_words[0], "line 81");
        assert_eq!(ended.last_words[stderr::LINES - 1].len(), 2000);
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
