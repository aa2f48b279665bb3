//! Stores for segments, and scripts that put them there: ours and those of others.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::super::data::Data;
use super::super::delay::DelayLine;
use super::super::peers::installed;
use super::super::sink::{CONTAINER, Sink};
use crate::sas::{ACCOUNT, KEY, Sas};
use crate::tls::Certificate;

/// How often a line is run that needs a place which was made for it before.
pub(super) const ROUNDS: usize = 5;

/// The segments of a backlog.
const BACKLOG: usize = 500;

/// A segment's size: PostgreSQL's own.
const SIZE: usize = 16 << 20;

/// The segments that share the upper half of an address (xlog_internal.h, `XLogSegmentsPerXLogId`).
const PER_FILE: usize = 0x1_0000_0000 / SIZE;

/// A container that speaks https, until the benchmark ends.
pub(super) struct Service {
    pub(super) sink: Sink,
    pub(super) certificate: Certificate,
}

impl Service {
    pub(super) fn start() -> &'static Self {
        let certificate = Certificate::make();
        let sink = Sink::https(&certificate, Vec::new());
        Box::leak(Box::new(Self { sink, certificate }))
    }

    /// The container's URL, at its own port or at the end of a line to it.
    pub(super) fn url(port: u16) -> String {
        format!("https://127.0.0.1:{port}/{ACCOUNT}/{CONTAINER}")
    }
}

/// A container so far away, and segments in the directory of the data.
pub(super) struct Stores {
    dir: PathBuf,
    service: &'static Service,
    port: u16,
}

impl Stores {
    /// Makes the container; and the segments, if they are not there.
    ///
    /// # Panics
    /// When that fails.
    pub(super) fn new(data: &Data, delay: u64) -> Self {
        let service = Service::start();
        let port = DelayLine::to(service.sink.port(), Duration::from_millis(delay)).port();
        segments(data);
        Self {
            dir: data.path().to_owned(),
            service,
            port,
        }
    }

    /// What the lines' environment has.
    pub(super) fn env(&self) -> Vec<(&'static str, String)> {
        let authority = self.service.certificate.authority.display().to_string();
        let url = Service::url(self.port);
        let connection = format!(
            "DefaultEndpointsProtocol=https;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint=https://127.0.0.1:{}/{ACCOUNT};",
            self.port
        );
        let pgbackrest = format!(
            "pgbackrest --config={} --stanza=bench",
            self.configuration().display()
        );
        let barman = "barman-cloud-wal-archive --cloud-provider azure-blob-storage -z";
        vec![
            ("URL", url.clone()),
            ("AZURE_STORAGE_SAS_TOKEN", Sas::new(CONTAINER).sign()),
            ("SSL_CERT_FILE", authority.clone()),
            ("REQUESTS_CA_BUNDLE", authority),
            ("AZURE_STORAGE_CONNECTION_STRING", connection),
            ("PGBACKREST", pgbackrest),
            ("BARMAN", format!("{barman} {url}")),
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
             repo1-azure-container={CONTAINER}\nrepo1-azure-uri-style=path\nrepo1-storage-host=127.0.0.1\n\
             repo1-storage-port={}\nrepo1-storage-verify-tls=n\ncompress-type=gz\ncompress-level=1\n\
             log-level-file=off\nlog-level-console=error\nlock-path={dir}/lock\nspool-path={dir}/spool\n\
             [bench]\npg1-path={dir}\n",
            self.port,
            dir = self.dir.display(),
        );
        fs::write(self.configuration(), config).expect("a configuration");
        let line = self.script(
            name,
            &format!("PGBACKREST=\"$PGBACKREST --repo1-path=/$n\"\n{script}"),
        );
        let name = line.trim_start_matches("sh ").trim_end_matches(".sh");
        for run in 0..ROUNDS {
            let made = Command::new("pgbackrest")
                .arg(format!("--config={}", self.configuration().display()))
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

    /// Where pgBackRest is told of this store: another one has its own.
    fn configuration(&self) -> PathBuf {
        self.dir.join(format!("pgbackrest-{}.conf", self.port))
    }

    /// The same with barman's program, if it is installed.
    pub(super) fn barman(&self, name: &str, script: &str) -> Option<String> {
        installed("barman-cloud-wal-archive")?;
        Some(self.script(name, script))
    }
}

fn name_of(number: usize) -> String {
    // After what the server has itself.
    let (file, segment) = (0x100 + number / PER_FILE, number % PER_FILE);
    format!("00000001{file:08X}{segment:08X}")
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
