//! pgBackRest's backups of the cluster: as it makes them when nothing is said, and as it restores them fastest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use super::super::archiving::run;
use super::super::peers::installed;
use super::origin::Origin;
use crate::Scratch;
use crate::sas::{ACCOUNT, KEY};

/// Its processes where answers take long.
const MANY: usize = 8;

/// A repository.
#[derive(Debug, Clone, Copy)]
struct Kind {
    name: &'static str,
    /// The variable that its place is in.
    variable: &'static str,
    options: &'static [&'static str],
}

const KINDS: [Kind; 2] = [
    // Small files are together in large ones, and zstd is unpacked faster than gzip.
    Kind {
        name: "zst",
        variable: "ZST",
        options: &[
            "--compress-type=zst",
            "--compress-level=3",
            "--repo1-bundle",
        ],
    },
    // Its own default.
    Kind {
        name: "gz",
        variable: "GZ",
        options: &[],
    },
];

/// Repositories in a directory. What is to be restored is in none but these, WAL excepted.
pub(super) struct Repositories {
    home: Scratch,
    /// What all configurations say.
    common: String,
}

impl Repositories {
    /// Makes a backup in each, if pgBackRest is installed.
    ///
    /// # Panics
    /// When that fails.
    pub(super) fn make(origin: &Origin) -> Option<Self> {
        installed("pgbackrest")?;
        let home = Scratch::new();
        let common = format!(
            "log-level-file=off\nlog-level-console=error\nlock-path={lock}\n\
             [bench]\npg1-path={data}\npg1-socket-path={socket}\npg1-user=postgres\n",
            lock = home.join("lock").display(),
            data = origin.cluster.data().display(),
            socket = origin.cluster.socket().display(),
        );
        let repositories = Self { home, common };
        repositories.configure(HERE, "");
        for kind in KINDS {
            let pgbackrest = || {
                let mut command = Command::new("pgbackrest");
                command.arg(format!("--config={}", repositories.config(HERE).display()));
                command.arg("--stanza=bench");
                command.arg(format!(
                    "--repo1-path={}",
                    repositories.root().join(kind.name).display()
                ));
                command
            };
            run(pgbackrest().arg("stanza-create"));
            // The WAL is ours.
            run(pgbackrest()
                .args(["--no-archive-check", "--start-fast"])
                .arg(format!("--process-max={}", cpus()))
                .args(kind.options)
                .arg("backup"));
        }
        Some(repositories)
    }

    /// The directory of the repositories.
    pub(super) fn root(&self) -> PathBuf {
        self.home.join("repositories")
    }

    /// Lets [`Repositories::env`] name a container that has [`Repositories::root`], and its https port.
    pub(super) fn in_container(&self, place: &str, container: &str, port: u16) {
        let repository = format!(
            "repo1-type=azure\nrepo1-azure-account={ACCOUNT}\nrepo1-azure-key={KEY}\n\
             repo1-azure-container={container}\nrepo1-azure-uri-style=path\n\
             repo1-storage-host=127.0.0.1\nrepo1-storage-port={port}\nrepo1-storage-verify-tls=n\n"
        );
        self.configure(place, &repository);
    }

    /// What the lines need in their environment to restore from a place into a directory.
    pub(super) fn env(&self, place: &str, into: &Path) -> Vec<(&'static str, String)> {
        let root = match place {
            HERE => self.root(),
            _ => PathBuf::from("/"),
        };
        let mut env = vec![
            (
                "PGBACKREST_CONFIG",
                self.config(place).display().to_string(),
            ),
            ("PGBACKREST_STANZA", "bench".to_owned()),
            ("PGBACKREST_PG1_PATH", into.display().to_string()),
        ];
        env.extend(KINDS.map(|it| (it.variable, root.join(it.name).display().to_string())));
        env
    }

    fn config(&self, place: &str) -> PathBuf {
        self.home.join(format!("{place}.conf"))
    }

    fn configure(&self, place: &str, repository: &str) {
        let text = format!("[global]\n{repository}{}", self.common);
        fs::write(self.config(place), text).expect("a configuration");
    }
}

/// The lines that restore, the fastest configuration first.
pub(super) fn lines(far: bool) -> Vec<String> {
    let line = |kind: Kind, processes: usize| {
        format!(
            "pgbackrest --repo1-path ${} --process-max={processes} restore",
            kind.variable
        )
    };
    let mut lines: Vec<String> = KINDS.map(|kind| line(kind, cpus())).into();
    if far && cpus() < MANY {
        lines.push(line(KINDS[0], MANY));
    }
    lines
}

/// The place of the directory itself.
pub(super) const HERE: &str = "here";

fn cpus() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
