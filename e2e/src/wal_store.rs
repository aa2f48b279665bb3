//! A store that a server archives its WAL into, of either kind.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::azurite::{Azurite, Container};
use crate::{Scratch, postgres, scratch, tool};

/// A store, and our programs where the server's user finds them.
#[derive(Debug)]
pub struct WalStore {
    place: Place,
    /// The token's file is in it.
    home: Scratch,
}

#[derive(Debug)]
enum Place {
    Directory(PathBuf),
    Container(Container),
}

impl WalStore {
    /// A container in the Azurite that all tests share.
    pub fn container() -> Self {
        let container = Azurite::shared().container();
        let home = Scratch::new();
        home.write("token", container.token());
        Self {
            place: Place::Container(container),
            home,
        }
    }

    /// A directory that the server may write to.
    pub fn directory() -> Self {
        let home = Scratch::new();
        let path = home.make("store");
        postgres::own(&path);
        Self {
            place: Place::Directory(path),
            home,
        }
    }

    /// One of each kind.
    pub fn both() -> [Self; 2] {
        [Self::container(), Self::directory()]
    }

    /// STORE.
    pub fn url(&self) -> String {
        match &self.place {
            Place::Directory(path) => path.display().to_string(),
            Place::Container(container) => container.url(),
        }
    }

    /// The container, if it is one.
    pub fn azure(&self) -> Option<&Container> {
        match &self.place {
            Place::Directory(_) => None,
            Place::Container(container) => Some(container),
        }
    }

    /// A line of `sh` that runs one of our programs as the server does.
    pub fn line(&self, program: &str, args: &str) -> String {
        let token = self.home.join("token");
        let program = programs().join(program);
        format!(
            "env AZURE_STORAGE_SAS_TOKEN_FILE={} {} {args}",
            token.display(),
            program.display()
        )
    }

    /// A directory with the programs, for the front of a PATH.
    pub fn programs() -> PathBuf {
        programs()
    }

    /// The file with the token; empty if no token is needed.
    pub fn token(&self) -> PathBuf {
        self.home.join("token")
    }

    /// The settings of a server that archives here.
    pub fn archiving(&self, options: &str) -> String {
        let command = self.line(
            "blob-put",
            &format!("--wal \"%p\" {} {options}", self.url()),
        );
        format!(
            "wal_level = replica\nmax_wal_senders = 4\nfull_page_writes = on\nwal_keep_size = 2GB\narchive_mode = on\narchive_command = '{command}'\n"
        )
    }

    /// The settings of a server that recovers from here, and archives nowhere.
    pub fn recovering(&self, options: &str) -> String {
        let args = format!("{} --wal \"%f\" --to \"%p\" {options}", self.url());
        let command = self.line("restore-stream", &args);
        format!("archive_mode = off\nrestore_command = '{command}'\n")
    }

    /// The names of the archived files, sorted, without their suffix.
    pub fn names(&self) -> Vec<String> {
        let stored: Vec<String> = match &self.place {
            Place::Directory(path) => {
                // It comes with the first of them.
                let archives = path.join("wal");
                let systems = match archives.is_dir() {
                    true => scratch::names(&archives),
                    false => Vec::new(),
                };
                let files = systems
                    .iter()
                    .flat_map(|system| scratch::names(archives.join(system)));
                files.collect()
            }
            Place::Container(container) => container.names(),
        };
        let names = stored.iter().filter_map(|name| name.rsplit('/').next());
        let mut names: Vec<String> = names
            .map(|name| name.trim_end_matches(".gz").to_owned())
            .collect();
        names.sort();
        names
    }

    /// An archived file, as `gunzip` gives it.
    ///
    /// # Panics
    /// When it is not there, or gunzip does not take it.
    pub fn read(&self, name: &str) -> Vec<u8> {
        let packed = self.home.join("packed");
        match &self.place {
            Place::Directory(_) => drop(fs::copy(self.file(name), &packed).expect("a copy")),
            Place::Container(container) => {
                fs::write(&packed, container.read(&self.blob(name))).expect("a copy");
            }
        }
        let packed = fs::File::open(packed).expect("a copy");
        let out = Command::new("gunzip")
            .arg("-c")
            .stdin(packed)
            .output()
            .expect("gunzip");
        assert!(
            out.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        out.stdout
    }

    /// Loses an archived file.
    ///
    /// # Panics
    /// When it is not there.
    pub fn lose(&self, name: &str) {
        match &self.place {
            Place::Directory(_) => fs::remove_file(self.file(name)).expect("a file"),
            Place::Container(container) => container.remove(&self.blob(name)),
        }
    }

    /// An archived file of a directory.
    ///
    /// # Panics
    /// When it is not there, or the store is no directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.file(name)
    }

    fn file(&self, name: &str) -> PathBuf {
        let Place::Directory(path) = &self.place else {
            panic!("it is no directory");
        };
        let archives = path.join("wal");
        let systems = scratch::names(&archives);
        let files = systems
            .iter()
            .map(|system| archives.join(system).join(format!("{name}.gz")));
        files
            .into_iter()
            .find(|file| file.exists())
            .unwrap_or_else(|| panic!("{name} is not there"))
    }

    fn blob(&self, name: &str) -> String {
        let Place::Container(container) = &self.place else {
            panic!("it is no container");
        };
        let end = format!("/{name}.gz");
        let names = container.names();
        let found = names.into_iter().find(|it| it.ends_with(&end));
        found.unwrap_or_else(|| panic!("{name} is not there"))
    }
}

/// A directory with our programs that every user may enter: the workspace may be root's own.
fn programs() -> PathBuf {
    static PROGRAMS: OnceLock<Scratch> = OnceLock::new();
    let home = PROGRAMS.get_or_init(|| {
        let home = Scratch::new();
        for name in ["blob-put", "restore-stream"] {
            // By another process: one that another thread forks while the file is open for writing would keep it busy.
            let copied = Command::new("cp")
                .arg(tool::program(name))
                .arg(home.path())
                .status();
            assert!(copied.is_ok_and(|status| status.success()), "cp {name}");
        }
        home
    });
    home.path().to_path_buf()
}
