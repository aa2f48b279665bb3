use std::time::Duration;

use chrono::TimeDelta;
use clap::Parser;
use rate_limit::Rate;

// Each paragraph is one line, which clap wraps to the terminal's width; other lines fit in 80 columns.
const DETAILS: &str = "\
STORE is https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX], the emulator's \
http://127.0.0.1:10000/ACCOUNT/CONTAINER[/PREFIX], or a directory. STORE/ without a NAME keeps the \
file's name. Standard input becomes postgresql_backup_YYYYMMDD_HHMMSS.sql.gz, or \
postgresql_base_YYYYMMDD_HHMMSS.tar.gz if it is a base backup: the time (UTC) at which reading began.

SOURCE is streamed: nothing is staged on disk, and its length need not be known. The blob becomes \
visible at the end, whole, or not at all. Only a backup that ends in the marker which pgdump-gz writes \
after success is published, and never a dump that was cut; anything else is exit code 3, unless --raw \
allows it. A blob of the same name is left alone (exit code 4) unless --overwrite is given. Each block \
is sent with its CRC-64, and the blob gets its SHA-256 as metadata. Standard output gets the URL \
without the token, the size in bytes and the SHA-256, separated by tabs.

Before reading SOURCE, blob-put gets its credential and puts a block that it never commits, so that a \
wrong network, container, token or role is reported before the dump is waited for. What may pass is \
retried, until --deadline has gone by without success, or for 10 seconds if the host has never answered. \
Without the right to read, a name that is taken is noticed only at the end.

Memory: about 10 MiB, and the blocks in flight. These are at first --concurrency blocks of 2 MiB (34 \
MiB with the default), from 1.5 GiB on four of 8 MiB, from 12.5 GiB on four of up to a quarter of \
--memory; blocks grow sooner with more than 256M. A blob has at most 50,000 blocks, so the default of \
256M is enough for 2.9 TiB, 1G for 12.0 TiB, 16G for 190.0 TiB. A SOURCE of known size gets blocks that \
fit from the start.

Least privilege: a container SAS with sp=cw, t for --tag, i for --immutable-days, sp=rcw for --wal; or an \
identity whose role has the data action \
Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write, and …/blobs/read for --wal.

With --wal, blob-put is PostgreSQL's archive_command. It checks that the segment is the one that its name \
says, compresses it and puts it at STORE/wal/SYSTEM/NAME.gz in one request, where SYSTEM is the cluster's \
system identifier. Exit code 0 means that it is durable there. The same segment again is 0, another content \
under its name is 4, for ever. It prints nothing unless something is wrong. If SOURCE is a pg_wal directory, \
every complete segment that the store lacks is sent: before promoting a standby, or after an outage.

Examples:
  pgdump-gz | blob-put - \"$STORE/\"
  blob-put postgresql_backup_20251123_020000.sql.gz \"$STORE/\" --tier Cool
  blob-put backup.sql.gz \"$STORE/backup.sql.gz\" --max-rate 20M
  tar -cz /etc | blob-put - \"$STORE/etc.tar.gz\" --raw
  archive_command = 'blob-put --wal --ahead 8 \"%p\" https://…/backups/'
  blob-put --wal \"$PGDATA/pg_wal/\" \"$STORE/\"

Environment:
  AZURE_STORAGE_SAS_TOKEN_FILE      file with the SAS token; read again when a
                                    request is refused
  AZURE_STORAGE_SAS_TOKEN           the SAS token; otherwise the URL's query
  AZURE_FEDERATED_TOKEN_FILE, AZURE_CLIENT_ID, AZURE_TENANT_ID
                                    workload identity, where there is no token
  AZURE_STORAGE_AUTH                sas, workload-identity or managed-identity:
                                    use that and nothing else
  AZURE_STORAGE_ALLOW_HTTP          1 allows plain http to other machines
  SSL_CERT_FILE, SSL_CERT_DIR       certificates to trust, not the system's
  HTTPS_PROXY, ALL_PROXY, NO_PROXY  how to reach the host, as for curl";

/// Uploads a backup to Azure Blob Storage, or into a directory.
#[derive(Debug, Parser)]
#[command(
    name = "blob-put",
    version = version::VERSION,
    max_term_width = 100,
    after_help = "More options, examples, environment and exit codes: --help",
    after_long_help = format!("{DETAILS}\n\n{}", job::EXIT_CODES)
)]
pub(crate) struct Args {
    /// Backup to upload: a file, or - for standard input
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,

    /// Container's URL (and prefix) or directory, a slash, perhaps a name
    #[arg(value_name = "STORE/[NAME]")]
    pub(crate) destination: String,

    /// Replace a blob or file of the same name
    #[arg(long)]
    pub(crate) overwrite: bool,

    /// Upload anything, not only a whole backup of pgdump-gz
    #[arg(long)]
    pub(crate) raw: bool,

    /// Archive a file of PostgreSQL's WAL, or all of a pg_wal directory
    #[arg(
        long,
        conflicts_with_all = [
            "overwrite", "raw", "tier", "immutable_days", "tag", "concurrency", "memory", "warn_expiry", "json"
        ],
        help_heading = "Write-ahead log"
    )]
    pub(crate) wal: bool,

    /// Send up to N more segments at once that are ready
    ///
    /// They are taken from archive_status beside the segment, and marked as done when they are durable. It goes on with others
    /// for 5 seconds.
    #[arg(
        long,
        value_name = "N",
        requires = "wal",
        value_parser = clap::value_parser!(u16).range(1..=64),
        help_heading = "Write-ahead log"
    )]
    pub(crate) ahead: Option<u16>,

    /// Access tier: Hot, Cool, Cold or Archive
    #[arg(long, value_name = "TIER", value_parser = tier, help_heading = "The blob")]
    pub(crate) tier: Option<String>,

    /// Make the blob immutable for N days
    ///
    /// Nobody can change or delete it until then. The container needs version-level immutability.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=146_000),
        help_heading = "The blob"
    )]
    pub(crate) immutable_days: Option<u32>,

    /// Add an index tag; may be repeated
    #[arg(long, value_name = "K=V", value_parser = tag, help_heading = "The blob")]
    pub(crate) tag: Vec<(String, String)>,

    /// Send N blocks at once
    #[arg(
        long,
        value_name = "N",
        default_value_t = 17,
        value_parser = clap::value_parser!(u16).range(1..=64),
        help_heading = "Transfer"
    )]
    pub(crate) concurrency: u16,

    /// Memory for blocks, at least 16M
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "256M",
        value_parser = memory,
        help_heading = "Transfer"
    )]
    pub(crate) memory: u64,

    /// Send at most RATE bytes a second, e.g. 500K or 20M
    ///
    /// All blocks together, and what is sent again; no second gets more than 105 % of it.
    #[arg(long, value_name = "RATE", value_parser = Rate::parse, help_heading = "Transfer")]
    pub(crate) max_rate: Option<Rate>,

    /// Stop retrying a request after this long [default: 15m, --wal: 20s]
    ///
    /// A host that has never answered is given up after 10s. PostgreSQL asks again for a segment that was not archived, and
    /// waits for its archive_command when it is shut down.
    #[arg(long, value_name = "TIME", value_parser = job::time::parse_wait, help_heading = "Transfer")]
    pub(crate) deadline: Option<Duration>,

    /// Warn if the token expires within this time
    #[arg(
        long,
        value_name = "TIME",
        default_value = "30d",
        value_parser = job::time::parse_duration,
        help_heading = "Transfer"
    )]
    pub(crate) warn_expiry: TimeDelta,

    /// Print the result as one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// The service's own spelling.
fn tier(text: &str) -> Result<String, String> {
    let known = ["Hot", "Cool", "Cold", "Archive"];
    let found = known.iter().find(|tier| tier.eq_ignore_ascii_case(text));
    found
        .map(|tier| (*tier).to_owned())
        .ok_or_else(|| format!("the tiers are {}", known.join(", ")))
}

/// "Set Blob Tags": what a key and a value may be.
fn tag(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    let proper = |c: char| c.is_ascii_alphanumeric() || " +-./:=_".contains(c);
    match (1..=128).contains(&key.len()) && value.len() <= 256 && text.chars().all(proper) {
        true => Ok((key.to_owned(), value.to_owned())),
        false => Err("a tag is letters, digits, spaces and + - . / : = _, the key of 1 to 128, the value of up to 256".into()),
    }
}

/// `64M`, `1G`: binary units.
fn memory(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no size from 16M on; write it like 256M or 1G");
    let size = job::text::parse_bytes(text);
    // No machine has memory in T: that is a typing error.
    let is_possible = |size: &u64| *size >= 16 << 20 && !text.ends_with(['T', 't']);
    size.filter(is_possible).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_help_states_what_memory_holds() {
        let help = Args::command().render_long_help().to_string();
        for (memory, holds) in [
            (256 << 20, "2.9 TiB"),
            (1 << 30, "12.0 TiB"),
            (16 << 30, "190.0 TiB"),
        ] {
            let options = azure_blob::UploadOptions {
                memory,
                ..azure_blob::UploadOptions::default()
            };
            let tenths = options.capacity() / ((1 << 40) / 10);
            assert_eq!(holds, format!("{}.{} TiB", tenths / 10, tenths % 10));
            assert!(help.contains(holds));
        }
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(memory("16M"), Ok(16 << 20));
        assert_eq!(memory("2g"), Ok(2 << 30));
        for text in [
            "",
            "M",
            "15M",
            "1.5G",
            "-1G",
            "100",
            "1T",
            "9999999999G",
            "é",
        ] {
            assert!(memory(text).is_err(), "{text}");
        }
    }

    #[test]
    fn tiers_and_tags_are_read() {
        assert_eq!(tier("cool"), Ok("Cool".into()));
        assert!(tier("frozen").is_err());
        assert_eq!(tag("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(tag("a="), Ok(("a".into(), String::new())));
        for text in ["", "a", "=b", "ü=b"] {
            assert!(tag(text).is_err(), "{text}");
        }
    }
}
