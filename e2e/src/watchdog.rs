//! Cleans up after a test process that was killed.
//!
//! A shell beside the test process is told of every process and directory that is made, and of every
//! one that is gone. Its standard input ends when the test process ends, however that happens; then it
//! stops and removes what is left.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

const SCRIPT: &str = r#"
trap '' HUP INT TERM
processes=
directories=
without() { # WORD LINES: the lines without this one
    printf '%s\n' "$2" | grep -Fvx -- "$1"
}
while read -r verb what; do
    case $verb in
    began) processes="$processes
$what" ;;
    ended) processes=$(without "$what" "$processes") ;;
    made) directories="$directories
$what" ;;
    removed) directories=$(without "$what" "$directories") ;;
    esac
done
echo "$processes" | while read -r signal pid; do
    [ -n "$pid" ] || continue
    kill -"$signal" "$pid" 2>/dev/null || continue
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        kill -0 "$pid" 2>/dev/null || continue 2
        sleep 0.2
    done
    kill -KILL "$pid" 2>/dev/null
done
echo "$directories" | while read -r directory; do
    [ -n "$directory" ] || continue
    grep -F " $directory/" /proc/self/mounts | while read -r _ mount _; do
        umount --lazy "$mount" || sudo -n umount --lazy "$mount"
    done
    rm -rf -- "$directory"
done
"#;

static STDIN: Mutex<Option<ChildStdin>> = Mutex::new(None);

/// A child process that is stopped when this is dropped, or when the test process ends.
#[derive(Debug)]
pub struct Watched {
    child: Child,
    signal: &'static str,
}

impl Watched {
    /// Starts `command`; `signal` (`QUIT`, `KILL`) is how it is stopped.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(command: &mut Command, signal: &'static str) -> Self {
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        tell(&format!("began {signal} {}", child.id()));
        Self { child, signal }
    }

    /// The child.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Stops it and waits until it is gone.
    pub fn stop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = Command::new("kill")
                .arg(format!("-{}", self.signal))
                .arg(self.child.id().to_string())
                .status();
            let _ = self.child.wait();
        }
        tell(&format!("ended {} {}", self.signal, self.child.id()));
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A directory was made that must not stay.
pub(crate) fn made(directory: &Path) {
    tell(&format!("made {}", directory.display()));
}

/// The directory is gone.
pub(crate) fn removed(directory: &Path) {
    tell(&format!("removed {}", directory.display()));
}

fn tell(line: &str) {
    let mut stdin = STDIN.lock().unwrap_or_else(PoisonError::into_inner);
    let stdin = stdin.get_or_insert_with(start);
    // A watchdog that is gone is no reason to fail a test.
    let _ = writeln!(stdin, "{line}");
}

#[expect(clippy::zombie_processes, reason = "it outlives this process")]
fn start() -> ChildStdin {
    let mut child = Command::new("sh")
        .args(["-c", SCRIPT, "watchdog"])
        // Ctrl-C on a terminal is for the test, not for what cleans up after it.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    child.stdin.take().expect("a pipe")
}
