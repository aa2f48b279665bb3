//! What is compared with what, and the figures to reach.

use std::fmt::{self, Write};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use super::data::{Data, FOREIGN, OURS, PLAIN};
use super::one_database;
use super::race::{Figure, Quantity, Race};
use super::recovery;
use super::sink::{CONTAINER, Sink};
use super::wal;
use crate::program::PROGRAMS;
use crate::sas::Sas;

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// The whole dump of a cluster.
    Dump,
    /// The same with the programs, not the server, on one CPU.
    OneCpu,
    /// Compression alone.
    Compress,
    /// Checking a backup, ours and gzip's.
    Verify,
    /// Reading a backup.
    Read,
    /// Restoring a backup into a fresh cluster.
    Restore,
    /// Restoring one database by several sessions, and one table of it.
    OneDatabase,
    /// Uploads and downloads, with a service near by and far away.
    Transfer,
    /// Dumps and uploads that are held to a rate.
    Rate,
    /// WAL: archived, restored, lost.
    Wal,
    /// Back to a moment: a data directory, and one database.
    Recovery,
    /// Memory on a stream of many gigabytes.
    Memory,
    /// `--help`, and the sizes of the programs.
    Start,
}

impl Group {
    /// All, in their order.
    pub const ALL: [Self; 13] = [
        Self::Dump,
        Self::OneCpu,
        Self::Compress,
        Self::Verify,
        Self::Read,
        Self::Restore,
        Self::OneDatabase,
        Self::Transfer,
        Self::Rate,
        Self::Wal,
        Self::Recovery,
        Self::Memory,
        Self::Start,
    ];

    /// What is run when nothing is said: all but WAL, recovery and memory, which take long.
    pub fn usual() -> Vec<Self> {
        let mut groups = Self::ALL.to_vec();
        groups.retain(|group| !matches!(group, Self::Wal | Self::Recovery | Self::Memory));
        groups
    }

    /// Its races. The stream of `memory` has so many gigabytes.
    pub(crate) fn races(self, data: &Data, gigabytes: u32) -> Vec<Race> {
        match self {
            Self::Dump => vec![dump()],
            Self::OneCpu => vec![one_cpu()],
            Self::Compress => vec![compress()],
            Self::Verify => vec![verify(false), verify(true), verify_foreign()],
            Self::Read => vec![read()],
            Self::Restore => vec![restore()],
            Self::OneDatabase => one_database::races(data),
            Self::Transfer => [0, 40]
                .into_iter()
                .flat_map(|delay| transfer(data, delay))
                .collect(),
            Self::Rate => vec![rate(data)],
            Self::Wal => wal::races(data),
            Self::Recovery => recovery::races(data),
            Self::Memory => {
                stream(data, gigabytes).expect("the stream");
                vec![memory(2, 32.0), memory(8, 64.0)]
            }
            Self::Start => vec![start()],
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dump => "dump",
            Self::OneCpu => "one-cpu",
            Self::Compress => "compress",
            Self::Verify => "verify",
            Self::Read => "read",
            Self::Restore => "restore",
            Self::OneDatabase => "one-database",
            Self::Transfer => "transfer",
            Self::Rate => "rate",
            Self::Wal => "wal",
            Self::Recovery => "recovery",
            Self::Memory => "memory",
            Self::Start => "start",
        })
    }
}

impl FromStr for Group {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|it| it.to_string() == name);
        found.ok_or_else(|| {
            let mut known = String::new();
            for group in Self::ALL {
                let _ = write!(known, " {group}");
            }
            format!("no group '{name}'; there are:{known}")
        })
    }
}

/// What a dump cannot be faster than.
const LIMIT: &str = "pg_dumpall > /dev/null";
const DUMP: &str = "pgdump-gz > out";
const DUMP_GZIP: &str = "pg_dumpall | gzip > out";
const MEBIBYTE: f64 = 1024.0 * 1024.0;

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|&line| line.to_owned()).collect()
}

fn dump() -> Race {
    Race {
        title: "dump: the whole cluster, all CPUs",
        lines: owned(&[
            LIMIT,
            DUMP,
            "pgdump-gz --jobs 2 > out",
            DUMP_GZIP,
            "pg_dumpall | pigz > out",
            "pg_dumpall | bgzip -c > out",
            "pg_dumpall | igzip -c > out",
            "pg_dumpall | zstd -q -c > out",
        ]),
        figures: vec![
            Figure::ratio(Quantity::Wall, DUMP, LIMIT, 1.10),
            Figure::ratio(Quantity::OwnCpu, DUMP, DUMP_GZIP, 0.15),
            Figure::ratio(Quantity::Size, DUMP, DUMP_GZIP, 1.07),
            Figure::bound(Quantity::Peak, DUMP, 32.0 * MEBIBYTE),
        ],
        ..Race::default()
    }
}

fn one_cpu() -> Race {
    Race {
        title: "one-cpu: the same with the programs and their children, not the server, on one CPU",
        lines: owned(&[LIMIT, DUMP, DUMP_GZIP, "pg_dumpall | igzip -c > out"]),
        figures: vec![Figure::ratio(Quantity::Wall, DUMP, DUMP_GZIP, 0.40)],
        one_cpu: true,
        ..Race::default()
    }
}

fn compress() -> Race {
    let level = |level: u8| format!("pgdump-gz --level {level} -- cat {PLAIN} > out");
    let ours = format!("pgdump-gz -- cat {PLAIN} > out");
    let gzip = format!("gzip < {PLAIN} > out");
    let mut lines = vec![ours.clone()];
    lines.extend((2..=9).map(level));
    lines.push(gzip.clone());
    lines.extend(
        ["pigz", "bgzip -c", "igzip -c", "zstd -q -c"].map(|it| format!("{it} < {PLAIN} > out")),
    );
    Race {
        title: "compress: the dump from a file",
        figures: vec![
            Figure::ratio(Quantity::OwnCpu, &ours, &gzip, 0.15),
            Figure::ratio(Quantity::Size, &ours, &gzip, 1.07),
            Figure::ratio(Quantity::OwnCpu, &level(7), &gzip, 0.5),
            Figure::ratio(Quantity::Size, &level(7), &gzip, 0.955),
            Figure::ratio(Quantity::Size, &level(9), &gzip, 0.945),
        ],
        lines,
        ..Race::default()
    }
}

fn verify(one_cpu: bool) -> Race {
    let ours = format!("backup-verify {OURS}");
    let gunzip = format!("gunzip -t {OURS}");
    let (title, limit) = match one_cpu {
        false => ("verify: our backup, all CPUs", 0.12),
        true => ("verify: our backup, one CPU", 0.22),
    };
    Race {
        title,
        figures: vec![Figure::ratio(Quantity::Wall, &ours, &gunzip, limit)],
        lines: vec![
            ours,
            gunzip,
            format!("pigz -t {OURS}"),
            format!("igzip -t {OURS}"),
        ],
        one_cpu,
        ..Race::default()
    }
}

fn verify_foreign() -> Race {
    let ours = format!("backup-verify {FOREIGN}");
    let gunzip = format!("gunzip -t {FOREIGN}");
    Race {
        title: "verify: a backup of pg_dumpall | gzip, all CPUs",
        figures: vec![Figure::ratio(Quantity::Wall, &ours, &gunzip, 0.25)],
        lines: vec![
            ours,
            gunzip,
            format!("pigz -t {FOREIGN}"),
            format!("igzip -t {FOREIGN}"),
        ],
        ..Race::default()
    }
}

fn read() -> Race {
    let ours = format!("restore-stream {OURS} -- cat > /dev/null");
    let gunzip = format!("gunzip -c {OURS} > /dev/null");
    Race {
        title: "read: our backup, all CPUs",
        figures: vec![Figure::ratio(Quantity::Wall, &ours, &gunzip, 0.15)],
        lines: vec![
            ours,
            gunzip,
            format!("pigz -d -c {OURS} > /dev/null"),
            format!("igzip -d -c {OURS} > /dev/null"),
        ],
        ..Race::default()
    }
}

fn restore() -> Race {
    let ours = format!("restore-stream {OURS}");
    let psql = format!("psql -q < {PLAIN}");
    Race {
        title: "restore: into a fresh cluster, all CPUs",
        figures: vec![Figure::ratio(Quantity::Wall, &ours, &psql, 1.03)],
        lines: vec![
            psql,
            ours,
            format!("restore-stream --jobs 2 {OURS}"),
            format!("gunzip -c {FOREIGN} | psql -q"),
        ],
        fresh: true,
        ..Race::default()
    }
}

/// An upload and a download by way of a sink whose answers take so many milliseconds.
fn transfer(data: &Data, delay: u64) -> [Race; 2] {
    let sink = Sink::start(Duration::from_millis(delay), data.path().to_owned());
    let token = Sas::new(CONTAINER).sign();
    let env = vec![
        ("AZURE_STORAGE_SAS_TOKEN", token.clone()),
        ("RCLONE_CONFIG", "/dev/null".to_owned()),
        ("RCLONE_AZUREBLOB_NO_CHECK_CONTAINER", "true".to_owned()),
        (
            "RCLONE_AZUREBLOB_SAS_URL",
            format!("{}?{token}", sink.url()),
        ),
        ("NEW", format!("{}/new?{token}", sink.url())),
        ("BACKUP", format!("{}/{OURS}?{token}", sink.url())),
        ("AZCOPY_LOG_LOCATION", "azcopy".to_owned()),
        ("AZCOPY_JOB_PLAN_LOCATION", "azcopy".to_owned()),
    ];
    // Far away there must be more to it than not being slower.
    let faster = if delay == 0 { 1.0 } else { 1.0 / 1.5 };
    let figures = |ours: &str, theirs: &str| {
        vec![
            Figure::ratio(Quantity::Wall, ours, theirs, faster),
            Figure::ratio(Quantity::Cpu, ours, theirs, 1.0),
            Figure::ratio(Quantity::Peak, ours, theirs, 1.0 / 3.0),
        ]
    };
    let put = format!("blob-put --raw --overwrite - {}/new < {PLAIN}", sink.url());
    let rcat = format!("rclone rcat :azureblob:{CONTAINER}/new < {PLAIN}");
    let get = format!("restore-stream {}/{OURS} -- cat > /dev/null", sink.url());
    let cat = format!("rclone cat :azureblob:{CONTAINER}/{OURS} > /dev/null");
    let gunzip = format!("rclone cat :azureblob:{CONTAINER}/{OURS} | gunzip -c > /dev/null");
    // It takes its input from nothing but a pipe, and its token from nothing but the URL.
    let azcopy_put = format!("cat {PLAIN} | azcopy cp $NEW --from-to PipeBlob");
    let azcopy_cat = "azcopy cp $BACKUP --from-to BlobPipe > /dev/null".to_owned();
    let mut reading = figures(&get, &gunzip);
    reading.extend(figures(&get, &cat));
    [
        Race {
            title: match delay {
                0 => "upload: to a service near by",
                _ => "upload: to a service whose answers take 40 ms",
            },
            figures: figures(&put, &rcat),
            lines: vec![put, rcat, azcopy_put],
            env: env.clone(),
            ..Race::default()
        },
        Race {
            title: match delay {
                0 => "download: from a service near by",
                _ => "download: from a service whose answers take 40 ms",
            },
            figures: reading,
            lines: vec![get, gunzip, cat, azcopy_cat],
            env,
            ..Race::default()
        },
    ]
}

/// How long each line of [`rate`] takes at its rate, in seconds.
const AT_ITS_RATE: u64 = 5;

/// Each rate with as many bytes as it lets through in that time. They hardly compress, so that what comes out of a dump
/// is what goes in.
fn rate(data: &Data) -> Race {
    let sink = Sink::start(Duration::ZERO, data.path().to_owned());
    let mut lines = Vec::new();
    for rate in [1, 20, 200] {
        let file = format!("noise-{rate}");
        noise(&data.path().join(&file), rate * AT_ITS_RATE).expect("noise");
        lines.push(format!(
            "pgdump-gz --max-rate {rate}M -- cat {file} > /dev/null"
        ));
        let url = sink.url();
        let put = "blob-put --raw --overwrite --max-rate";
        lines.push(format!("{put} {rate}M - {url}/new < {file}"));
    }
    let in_time = |line: &String| Figure::bound(Quantity::Wall, line, AT_ITS_RATE as f64 * 1.05);
    Race {
        title: "rate: what a rate lets through in 5 s (it is broken in less)",
        figures: lines.iter().map(in_time).collect(),
        lines,
        env: vec![("AZURE_STORAGE_SAS_TOKEN", Sas::new(CONTAINER).sign())],
        ..Race::default()
    }
}

fn noise(path: &Path, mebibytes: u64) -> io::Result<()> {
    let mut source = File::open("/dev/urandom")?.take(mebibytes << 20);
    io::copy(&mut source, &mut File::create(path)?).map(drop)
}

/// What writes the stream of [`memory`].
const STREAM: &str = "stream.sh";

fn memory(threads: u32, mebibytes: f64) -> Race {
    let lines = vec![
        format!("pgdump-gz --threads {threads} -- sh {STREAM} > stream"),
        format!("backup-verify --threads {threads} stream"),
        format!("restore-stream --threads {threads} stream -- cat > /dev/null"),
    ];
    let peak = |line: &String| Figure::bound(Quantity::Peak, line, mebibytes * MEBIBYTE);
    Race {
        title: match threads {
            2 => "memory: a stream of many gigabytes, two threads",
            _ => "memory: the same, eight threads",
        },
        figures: lines.iter().map(peak).collect(),
        lines,
        rounds: Some(1),
        ..Race::default()
    }
}

/// Writes the script that writes the stream: the same piece of the dump, from its middle and without its first
/// and last lines, again and again; `cat` costs next to nothing.
fn stream(data: &Data, gigabytes: u32) -> io::Result<()> {
    let mut plain = File::open(data.path().join(PLAIN))?;
    let middle = plain.metadata()?.len() / 2;
    plain.seek(SeekFrom::Start(middle))?;
    let mut piece = Vec::new();
    plain
        .take((middle / 2).min(64_000_000))
        .read_to_end(&mut piece)?;
    data.scratch.write("piece", &piece);
    let times = u64::from(gigabytes) * 1_000_000_000 / piece.len() as u64;
    let script =
        format!("i=0\nwhile [ $i -lt {times} ]; do cat piece || exit; i=$((i + 1)); done\n");
    data.scratch.write(STREAM, script);
    Ok(())
}

fn start() -> Race {
    let help = |program: &&str| format!("{program} --help > /dev/null");
    let lines: Vec<String> = PROGRAMS.iter().map(help).collect();
    let figure = |line: &String| Figure::bound(Quantity::Wall, line, 0.005);
    Race {
        title: "start: from start to exit, the median of 100",
        figures: lines.iter().map(figure).collect(),
        lines,
        rounds: Some(100),
        ..Race::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::race::tests::figures_are_about_lines;
    use super::*;

    #[test]
    fn every_group_has_a_name_of_its_own() {
        for group in Group::ALL {
            assert_eq!(group.to_string().parse(), Ok(group));
        }
        assert!("everything".parse::<Group>().is_err());
    }

    #[test]
    fn figures_are_about_lines_that_are_run() {
        let races = [
            dump(),
            one_cpu(),
            compress(),
            verify(false),
            verify(true),
            verify_foreign(),
            read(),
            restore(),
            memory(2, 32.0),
            start(),
        ];
        for race in &races {
            figures_are_about_lines(race);
        }
    }
}
