//! Stores for segments, and scripts that put them there: ours and those of others.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::super::data::Data;
use super::super::delay::DelayLine;
use super::super::peers::installed;
use crate::sas::{ACCOUNT, KEY};
use crate::tls::Certificate;
use crate::{Azurite, Container};

/// How often a line is run that needs a place which was made for it before.
pub(super) const ROUNDS: usize = 5;

/// The segments of a backlog.
const BACKLOG: usize = 100;

/// A segment's size: PostgreSQL's own.
const SIZE: usize = 16 << 20;

/// A container that is this far away, and segments in the directory of the data.
pub(super) struct Stores {
    dir: PathBuf,
    socket: PathBuf,
    data: PathBuf,
    container: Container,
    /// Both live as long as the benchmark.
    _azurite: &'static Azurite,
    certificate: &'static Certificate,
    port: u16,
    url: String,
}

impl Stores {
    /// Makes the container; and the segments, if they are not there.
    ///
    /// # Panics
    /// When that fails.
    pub(super) fn new(data: &Data, delay: u64) -> Self {
        let certificate: &Certificate = Box::leak(Box::new(Certificate::make()));
        let azurite: &Azurite = Box::leak(Box::new(Azurite::https_lenient(certificate)));
        let container = azurite.container();
        let port = DelayLine::to(azurite.port(), Duration::from_millis(delay)).port();
        let url = format!("https://127.0.0.1:{port}/{ACCOUNT}/{}", container.name());
        segments(data);
        Self {
            dir: data.path().to_owned(),
            socket: data.cluster.socket(),
            data: data.cluster.data(),
            container,
            _azurite: azurite,
            certificate,
            port,
            url,
        }
    }

    /// What the lines' environment has.
    pub(super) fn env(&self) -> Vec<(&'static str, String)> {
        let authority = self.certificate.authority.display().to_string();
        let connection = format!(
            "DefaultEndpointsProtocol=https;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint=https://127.0.0.1:{}/{ACCOUNT};",
            self.port
        );
        let pgbackrest = format!(
            "pgbackrest --config={}/pgbackrest.conf --stanza=bench",
            self.dir.display()
        );
        let barman = "barman-cloud-wal-archive --cloud-provider azure-blob-storage -z";
        vec![
            ("URL", self.url.clone()),
            ("AZURE_STORAGE_SAS_TOKEN", self.container.token()),
            ("SSL_CERT_FILE", authority.clone()),
            ("REQUESTS_CA_BUNDLE", authority),
            ("AZURE_STORAGE_CONNECTION_STRING", connection),
            ("PGBACKREST", pgbackrest),
            ("BARMAN", format!("{barman} {}", self.url)),
        ]
    }

    /// A line that runs this script: `$n` is the number of the run, `$first` the first segment.
    pub(super) fn script(&self, name: &str, script: &str) -> String {
        // Each store has runs of its own.
        let name = format!("{name}-{}", self.port);
        let first = name_of(0);
        let text = format!(
            "first={first}\nn=$(cat {name}.runs 2>/dev/null || echo 0)\necho $((n + 1)) >{name}.runs\nn={name}-$n\n{script}\n"
        );
        fs::write(self.dir.join(format!("{name}.sh")), text).expect("a script");
        format!("sh {name}.sh")
    }

    /// The same with pgBackRest, if it is installed. The repositories of the runs are made now.
    pub(super) fn pgbackrest(&self, name: &str, script: &str) -> Option<String> {
        installed("pgbackrest")?;
        let config = format!(
            "[global]\nrepo1-type=azure\nrepo1-azure-account={ACCOUNT}\nrepo1-azure-key={KEY}\n\
             repo1-azure-container={}\nrepo1-azure-uri-style=path\nrepo1-storage-host=127.0.0.1\n\
             repo1-storage-port={}\nrepo1-storage-verify-tls=n\ncompress-type=gz\ncompress-level=1\n\
             log-level-file=off\nlog-level-console=error\nlock-path={dir}/lock\nspool-path={dir}/spool\n\
             [bench]\npg1-path={}\npg1-socket-path={}\npg1-user=postgres\n",
            self.container.name(),
            self.port,
            self.data.display(),
            self.socket.display(),
            dir = self.dir.display(),
        );
        fs::write(self.dir.join("pgbackrest.conf"), config).expect("a configuration");
        let line = self.script(
            name,
            &format!("PGBACKREST=\"$PGBACKREST --repo1-path=/$n\"\n{script}"),
        );
        let name = line.trim_start_matches("sh ").trim_end_matches(".sh");
        for run in 0..ROUNDS {
            let made = Command::new("pgbackrest")
                .arg(format!("--config={}/pgbackrest.conf", self.dir.display()))
                .args(["--stanza=bench", "--no-online"])
                .arg(format!("--repo1-path=/{name}-{run}"))
                .arg("stanza-create")
                .output()
                .expect("pgbackrest");
            let said = String::from_utf8_lossy(&made.stderr);
            assert!(made.status.success(), "pgbackrest: {}\n{said}", made.status);
        }
        Some(line)
    }

    /// The same with barman's program, if it is installed.
    pub(super) fn barman(&self, name: &str, script: &str) -> Option<String> {
        installed("barman-cloud-wal-archive")?;
        Some(self.script(name, script))
    }
}

fn name_of(number: usize) -> String {
    // After what the server has itself.
    format!("0000000100000100000000{number:02X}")
}

/// Makes `wal/`: segments of the data's server under names of their own, each with the address that its name says;
/// `first` is the first one.
fn segments(data: &Data) {
    let wal = data.path().join("wal");
    if wal.exists() {
        return;
    }
    fs::create_dir(&wal).expect("a directory");
    let of_server = data.cluster.data().join("pg_wal");
    let names = crate::scratch::names(&of_server);
    let full = names.iter().filter(|name| name.len() == 24).rev();
    // The one before the newest is full of what was written.
    let from = full.clone().nth(1).or_else(|| full.clone().next());
    let mut bytes = fs::read(of_server.join(from.expect("a segment"))).expect("a segment");
    assert_eq!(bytes.len(), SIZE);
    for number in 0..BACKLOG {
        let address = (0x100_u64 << 32) + (number * SIZE) as u64;
        // After magic, flags and timeline (xlog_internal.h, XLogPageHeaderData).
        bytes[8..16].copy_from_slice(&address.to_le_bytes());
        fs::write(wal.join(name_of(number)), &bytes).expect("a segment");
    }
    fs::copy(wal.join(name_of(0)), wal.join("first")).expect("a segment");
    // What the programs look for in a data directory.
    fs::create_dir(data.path().join("global")).expect("a directory");
    let control = "global/pg_control";
    fs::copy(data.cluster.data().join(control), data.path().join(control)).expect("pg_control");
}
