//! Clusters that are copies of another one: base backups, and what is recovered from them.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Cluster, SETTINGS, as_server, for_server, own};
use crate::watchdog::Watched;
use crate::{Scratch, wait_for};

impl Cluster {
    /// A base backup by `pg_basebackup`, without WAL, as a directory.
    ///
    /// # Panics
    /// When that fails.
    pub fn base_backup(&self) -> Scratch {
        let base = Scratch::new();
        let out = self
            .command("pg_basebackup")
            .args(["-X", "none", "-c", "fast", "--no-sync", "-D"])
            .arg(base.join("data"))
            .output()
            .expect("pg_basebackup");
        assert!(
            out.status.success(),
            "pg_basebackup: {}\n{}",
            String::from_utf8_lossy(&out.stderr),
            self.server_log()
        );
        base
    }

    /// A cluster of the same version on a copy of `data`, with lines of its own at the end of `postgresql.conf`. It is not
    /// started. With `signal` (`recovery`, `standby`) it recovers from an archive.
    ///
    /// # Panics
    /// When it cannot be copied.
    pub fn copied(&self, data: &Path, signal: Option<&str>, settings: &str) -> Self {
        let scratch = Scratch::new();
        own(&scratch.make("socket"));
        let copy = scratch.join("data");
        let copied = Command::new("cp").arg("-R").args([data, &copy]).status();
        assert!(copied.is_ok_and(|status| status.success()), "cp");
        // What tar left may be open to others, which a server refuses.
        fs::set_permissions(&copy, Permissions::from_mode(0o700)).expect("chmod");
        let _ = fs::remove_file(copy.join("postmaster.pid"));
        if let Some(signal) = signal {
            fs::write(copy.join(format!("{signal}.signal")), "").expect("a signal");
        }
        let socket = scratch.join("socket");
        let lines = format!(
            "{SETTINGS}max_wal_senders = 4\nwal_level = replica\nunix_socket_directories = '{}'\n{settings}\n",
            socket.display()
        );
        // The settings of the other one do not hold.
        fs::write(copy.join("postgresql.conf"), lines).expect("postgresql.conf");
        own_all(&copy);
        Self {
            server: None,
            version: self.version.clone(),
            superuser: self.superuser.clone(),
            server_bin: for_server(&self.version.bin, &scratch),
            scratch,
            clock: None,
        }
    }

    /// A cluster of the same version on the data directory that `fill` makes of the one it is given, which is empty and
    /// belongs to the server's user. It is not started.
    pub fn filled(&self, fill: impl FnOnce(&Path)) -> Self {
        let scratch = Scratch::new();
        for name in ["data", "socket"] {
            own(&scratch.make(name));
        }
        fill(&scratch.join("data"));
        Self {
            server: None,
            version: self.version.clone(),
            superuser: self.superuser.clone(),
            server_bin: for_server(&self.version.bin, &scratch),
            scratch,
            clock: None,
        }
    }

    /// Starts the server and waits until it has recovered, and may be written to.
    ///
    /// # Errors
    /// Its log, if it ends instead.
    ///
    /// # Panics
    /// When neither comes.
    pub fn recover(&mut self) -> Result<(), String> {
        let log = File::create(self.log()).expect("a log");
        let mut command = as_server(&self.server_bin.join("postgres"));
        command
            .arg("-D")
            .arg(self.data())
            .arg("-c")
            .arg(format!(
                "unix_socket_directories={}",
                self.socket().display()
            ))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log);
        let mut server = Watched::start(&mut command, "QUIT");
        let recovered = wait_for("a recovery", || {
            if let Ok(Some(_)) = server.child().try_wait() {
                return Some(Err(self.server_log()));
            }
            let asked = ["-XAtc", "select pg_is_in_recovery()"];
            let answer = self.command("psql").args(asked).output().ok()?;
            (answer.stdout == b"f\n").then_some(Ok(()))
        });
        if recovered.is_ok() {
            self.server = Some(server);
        }
        recovered
    }

    /// Its timeline, by `pg_controldata`.
    ///
    /// # Panics
    /// When it is not there.
    pub fn timeline(&self) -> u32 {
        self.control("Latest checkpoint's TimeLineID")
            .parse()
            .expect("a timeline")
    }

    /// A line of `pg_controldata`.
    ///
    /// # Panics
    /// When it is not there.
    pub fn control(&self, name: &str) -> String {
        let mut command = Command::new(self.version.bin.join("pg_controldata"));
        let out = command.arg(self.data()).output().expect("pg_controldata");
        let said = String::from_utf8_lossy(&out.stdout);
        let mut lines = said.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(it, _)| *it == name);
        found
            .unwrap_or_else(|| panic!("{name} is not in\n{said}"))
            .1
            .trim()
            .to_owned()
    }
}

fn own_all(dir: &Path) {
    own(dir);
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        match entry.file_type().expect("a type") {
            kind if kind.is_dir() => own_all(&entry.path()),
            kind if kind.is_file() => own(&entry.path()),
            _ => {}
        }
    }
}
