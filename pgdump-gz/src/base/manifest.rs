//! The end of a backup manifest (PostgreSQL documentation, "Backup Manifest Format"), which may be larger than memory:
//! it has a line for each file.

use backup_file::{WalRange, parse_lsn};
use serde::Deserialize;

/// More than the ranges of WAL and the checksum after them take.
const LAST: usize = 64 << 10;

const RANGES: &[u8] = b"\"WAL-Ranges\": ";

/// The last bytes of a manifest that passes by.
#[derive(Debug, Default)]
pub(crate) struct ManifestEnd {
    last: Vec<u8>,
}

/// What the manifest ends with.
#[derive(Debug, Deserialize)]
struct End {
    #[serde(rename = "WAL-Ranges")]
    wal_ranges: Vec<Range>,
    /// It is the last thing in the file.
    #[serde(rename = "Manifest-Checksum")]
    _checksum: String,
}

#[derive(Debug, Deserialize)]
struct Range {
    #[serde(rename = "Timeline")]
    timeline: u32,
    #[serde(rename = "Start-LSN")]
    start: String,
    #[serde(rename = "End-LSN")]
    stop: String,
}

impl ManifestEnd {
    /// The next bytes of it.
    pub(crate) fn see(&mut self, bytes: &[u8]) {
        self.last.extend_from_slice(bytes);
        if self.last.len() > 2 * LAST {
            self.last.drain(..self.last.len() - LAST);
        }
    }

    /// The WAL that the backup needs, in order.
    ///
    /// # Errors
    /// What is wrong with the manifest.
    pub(crate) fn wal_ranges(&self) -> Result<Vec<WalRange>, &'static str> {
        let wrong = "its backup_manifest does not say which WAL it needs";
        if self.last.is_empty() {
            return Err("it has no backup_manifest");
        }
        // A file's name is text in JSON: its quotes are escaped, so it cannot look like this key.
        let at = self
            .last
            .windows(RANGES.len())
            .rposition(|bytes| bytes == RANGES);
        let end = at.and_then(|at| {
            let text = [b"{", &self.last[at..]].concat();
            serde_json::from_slice::<End>(&text).ok()
        });
        let mut ranges = Vec::new();
        for Range {
            timeline,
            start,
            stop,
        } in end.ok_or(wrong)?.wal_ranges
        {
            let (start, stop) = parse_lsn(&start).zip(parse_lsn(&stop)).ok_or(wrong)?;
            ranges.push(WalRange {
                timeline,
                start,
                stop,
            });
        }
        // The newest timeline comes first (`backup_manifest.c`, `AddWALInfoToBackupManifest`).
        ranges.sort_by_key(|range| (range.timeline, range.start));
        match ranges.iter().any(|range| range.start > range.stop) {
            false if !ranges.is_empty() => Ok(ranges),
            _ => Err(wrong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(files: usize) -> String {
        let file = r#"{ "Path": "base/5/\"WAL-Ranges\": [", "Size": 8192, "Last-Modified": "2026-11-30 05:52:41 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "65a30b6b" }"#;
        format!(
            "{{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n{}\n],\n\"WAL-Ranges\": [\n\
             {{ \"Timeline\": 2, \"Start-LSN\": \"0/2000100\", \"End-LSN\": \"0/3000100\" }},\n\
             {{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/2000100\" }}\n],\n\
             \"Manifest-Checksum\": \"9cfa\"}}\n",
            vec![file; files].join(",\n")
        )
    }

    #[test]
    fn of_any_length_and_in_any_pieces() {
        for files in [0, 1, 5000] {
            let text = manifest(files);
            for piece in [1, 1000, 1 << 20] {
                let mut end = ManifestEnd::default();
                text.as_bytes().chunks(piece).for_each(|it| end.see(it));
                let ranges = end.wal_ranges().unwrap();
                let timelines: Vec<u32> = ranges.iter().map(|it| it.timeline).collect();
                assert_eq!(timelines, [1, 2]);
                assert_eq!(ranges[0].start, 0x200_0028);
                assert_eq!(ranges[1].stop, 0x300_0100);
                assert!(end.last.len() <= 2 * LAST);
            }
        }
    }

    #[test]
    fn a_cut_one_is_known() {
        let text = manifest(1);
        for length in 0..text.len() - 2 {
            let mut end = ManifestEnd::default();
            end.see(&text.as_bytes()[..length]);
            assert!(end.wal_ranges().is_err(), "{length}");
        }
    }
}
