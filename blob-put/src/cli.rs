use std::time::Duration;

use chrono::TimeDelta;
use clap::Parser;

const DETAILS: &str = "\
STORE is https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX], the emulator's \
http://127.0.0.1:10000/ACCOUNT/CONTAINER[/PREFIX], or a directory. STORE/ without a NAME keeps the \
name of the file; standard input becomes postgresql_backup_YYYYMMDD_HHMMSS.sql.gz (UTC), the \
moment it was begun to be read.

SOURCE is streamed: nothing is staged on disk, and its length need not be known. What is written \
becomes visible at the end, as a whole, or not at all. Only a backup that ends in the marker which \
pgdump-gz writes after success is published, and no dump that was cut; anything else needs --raw, or \
is exit code 3. A name \
that is taken is left alone (exit code 4) unless --overwrite says otherwise. Each block is sent \
with its CRC-64, the blob gets its SHA-256 as metadata. Standard output gets the URL without the \
token, the size in bytes and the SHA-256, separated by tabs.

Before anything is read, the token is read and a block that is never committed is put, so that a \
wrong network, container or token is told before the dump is waited for. What may pass is tried again: \
after --deadline without success, or after 10 seconds if the host has never answered, it is given \
up. Without a token that has 'r' a taken name is found only at the end.

Memory: some 10 MiB, and the blocks under way: at first --concurrency of 2 MiB (34 MiB with the \
default), from 1.5 GiB on four of 8 MiB, from 12.5 GiB on four of up to a quarter of --memory; sooner \
with more than 256M. As a blob has 50,000 blocks, the default of 256M is enough for 2.9 TiB, 1G for \
12.0 TiB, 16G for 190.0 TiB; a SOURCE whose size is known is given blocks that fit at once.

Least privilege: a container SAS with sp=cw (and t for --tag, i for --immutable-days).

Examples:
  pgdump-gz | blob-put - \"$STORE/\"
  blob-put /backups/postgresql_backup_20251123_020000.sql.gz \"$STORE/\" --tier Cool
  tar -cz /etc | blob-put - \"$STORE/etc.tar.gz\" --raw

Environment:
  AZURE_STORAGE_SAS_TOKEN_FILE  file with the SAS token; read again when a request is refused
  AZURE_STORAGE_SAS_TOKEN       the SAS token; if neither is set, the URL's own query
  AZURE_STORAGE_ALLOW_HTTP      1 allows plain http to other machines
  SSL_CERT_FILE, SSL_CERT_DIR   certificates to trust instead of the system's
  HTTPS_PROXY, ALL_PROXY, NO_PROXY  how the host is reached, as curl has it";

/// Uploads a backup to Azure Blob Storage, or into a directory.
#[derive(Debug, Parser)]
#[command(version, after_help = format!("{DETAILS}\n\n{}", job::EXIT_CODES))]
pub(crate) struct Args {
    /// The backup: a file, or - for standard input
    pub(crate) source: String,

    /// Where it goes: a container's URL (and prefix) or a directory, a slash, and perhaps a name
    #[arg(value_name = "STORE/[NAME]")]
    pub(crate) destination: String,

    /// Write over a blob or file of the same name
    #[arg(long)]
    pub(crate) overwrite: bool,

    /// Take anything, not only a whole backup of pgdump-gz
    #[arg(long)]
    pub(crate) raw: bool,

    /// Put the blob into this tier: Hot, Cool, Cold, Archive
    #[arg(long, value_name = "T", value_parser = tier)]
    pub(crate) tier: Option<String>,

    /// Keep the blob from being changed or deleted for N days (the container needs version-level immutability)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=146_000))]
    pub(crate) immutable_days: Option<u32>,

    /// Give the blob an index tag; may be repeated
    #[arg(long, value_name = "K=V", value_parser = tag)]
    pub(crate) tag: Vec<(String, String)>,

    /// Number of blocks to send at once
    #[arg(long, value_name = "N", default_value_t = 17, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) concurrency: u16,

    /// Memory for blocks, at least 16M
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = memory)]
    pub(crate) memory: u64,

    /// Give a request up when it has been tried so long [default: 15m, 10s for a host that never answers]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) deadline: Option<Duration>,

    /// Warn if the token expires within this time
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = job::time::parse_duration)]
    pub(crate) warn_expiry: TimeDelta,
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = job::time::parse_duration(text)?;
    duration.to_std().map_err(|error| error.to_string())
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
