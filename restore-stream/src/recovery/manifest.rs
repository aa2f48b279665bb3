//! The manifest of a base backup (PostgreSQL documentation, "Backup Manifest Format"): each file with its size and
//! checksum.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use backup_file::{Index, ReadError, Reader, SectionKind};
use job::Error;
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use sha2::{Digest, Sha256};
use store::Source;

/// The last line: `"Manifest-Checksum": "`, 64 digits, `"}` and the line's end. All before it counts.
const LAST_LINE: u64 = 22 + 64 + 3;

/// What the manifest says of the files.
#[derive(Debug)]
pub(crate) struct Manifest {
    files: HashMap<Vec<u8>, Listed>,
}

/// A file that is listed.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) size: u64,
    /// None if the backup was made without checksums.
    pub(crate) crc32c: Option<u32>,
    seen: AtomicBool,
}

impl Manifest {
    /// Reads it out of a base backup.
    ///
    /// # Errors
    /// It is damaged, or not as PostgreSQL writes it.
    pub(crate) fn read(source: &Source, index: &Index) -> Result<Self, Error> {
        let not_good =
            |what: &str| Error::not_good(format!("'{}' is not good: {what}", source.label()));
        let place = index.base.as_ref().map(|base| base.manifest.clone());
        let mut sections = index.sections.iter();
        let section = sections.find(|it| it.kind == SectionKind::Manifest);
        let (Some(place), Some(section)) = (place, section) else {
            return Err(not_good("it has no manifest"));
        };
        let skipped = place.start.checked_sub(section.sql_offset);
        let (Some(skipped), Some(counted)) =
            (skipped, (place.end - place.start).checked_sub(LAST_LINE))
        else {
            return Err(not_good("its manifest is not where the index says"));
        };
        let input = source.range(section.offset, section.length)?;
        let mut text = Text {
            reader: Reader::section(input, section, 1),
            at: 0,
            skipped,
            left: place.end - place.start,
            counted,
            hasher: Sha256::new(),
            failure: None,
        };
        let read = serde_json::from_reader::<_, Document>(&mut text);
        if let Some(error) = text.failure.take() {
            return Err(source.read_error(&error).into());
        }
        let document = read.map_err(|error| not_good(&format!("its manifest: {error}")))?;
        let sha256 = hex::encode(text.hasher.finalize());
        text.reader
            .finish()
            .map_err(|error| source.read_error(&error))?;
        match document.checksum == sha256 {
            true => Ok(Self {
                files: document.files.0,
            }),
            false => Err(not_good("its manifest has not the checksum that it says")),
        }
    }

    /// The same, without the files of these databases.
    pub(crate) fn without(mut self, databases: &[u32]) -> Self {
        let directories: Vec<String> = databases.iter().map(|it| format!("base/{it}/")).collect();
        let is_of = |name: &[u8]| {
            let mut directories = directories.iter();
            directories.any(|it| name.starts_with(it.as_bytes()))
        };
        self.files.retain(|name, _| !is_of(name));
        self
    }

    /// Bytes of all files together.
    pub(crate) fn bytes(&self) -> u64 {
        let sizes = self.files.values().map(|it| it.size);
        sizes.fold(0, u64::saturating_add)
    }

    /// Whether it lists a file.
    pub(crate) fn lists(&self, name: &[u8]) -> bool {
        self.files.contains_key(name)
    }

    /// Notes that a file is there, and returns what it must be; none if it is not listed, or was there before.
    pub(crate) fn take(&self, name: &[u8]) -> Option<&Listed> {
        let listed = self.files.get(name)?;
        (!listed.seen.swap(true, Ordering::Relaxed)).then_some(listed)
    }

    /// A file that is listed and was not there.
    pub(crate) fn missing(&self) -> Option<&[u8]> {
        let mut files = self.files.iter();
        files
            .find(|(_, it)| !it.seen.load(Ordering::Relaxed))
            .map(|(name, _)| name.as_slice())
    }
}

/// The manifest's text as it is read, hashed up to its last line.
struct Text {
    reader: Reader,
    /// How much of the reader's current piece was taken.
    at: usize,
    /// Bytes of the section that are before the text.
    skipped: u64,
    left: u64,
    /// Bytes that are still hashed.
    counted: u64,
    hasher: Sha256,
    failure: Option<ReadError>,
}

impl Read for Text {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.left > 0 {
            let piece = self.reader.current().get(self.at..).unwrap_or_default();
            if piece.is_empty() {
                self.at = 0;
                match self.reader.next() {
                    Ok(Some(_)) => continue,
                    Ok(None) => return Ok(0),
                    Err(error) => {
                        self.failure = Some(error);
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                }
            }
            if self.skipped > 0 {
                let now = piece
                    .len()
                    .min(usize::try_from(self.skipped).unwrap_or(usize::MAX));
                self.skipped -= now as u64;
                self.at += now;
                continue;
            }
            let most = usize::try_from(self.left).unwrap_or(usize::MAX);
            let now = piece.len().min(out.len()).min(most);
            let (Some(from), Some(to)) = (piece.get(..now), out.get_mut(..now)) else {
                return Ok(0);
            };
            to.copy_from_slice(from);
            let counted = now.min(usize::try_from(self.counted).unwrap_or(usize::MAX));
            self.hasher.update(from.get(..counted).unwrap_or_default());
            self.counted -= counted as u64;
            self.left -= now as u64;
            self.at += now;
            return Ok(now);
        }
        Ok(0)
    }
}

#[derive(serde::Deserialize)]
struct Document {
    #[serde(rename = "Files")]
    files: Files,
    #[serde(rename = "Manifest-Checksum")]
    checksum: String,
}

#[derive(serde::Deserialize)]
struct File {
    #[serde(rename = "Path")]
    path: Option<String>,
    /// In hexadecimal digits, where it is not UTF-8.
    #[serde(rename = "Encoded-Path")]
    encoded_path: Option<String>,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "Checksum-Algorithm")]
    algorithm: Option<String>,
    #[serde(rename = "Checksum")]
    checksum: Option<String>,
}

impl File {
    fn listed(self) -> Result<(Vec<u8>, Listed), &'static str> {
        let name = match (self.path, self.encoded_path) {
            (Some(path), None) => path.into_bytes(),
            (None, Some(hex)) => hex::decode(hex).map_err(|_| "a path is no hexadecimal number")?,
            _ => return Err("a file has no path"),
        };
        let crc32c = match (self.algorithm.as_deref(), self.checksum) {
            (None, None) => None,
            (Some("CRC32C"), Some(digits)) => {
                let bytes = hex::decode(digits).ok().and_then(|it| it.try_into().ok());
                // As it is in the memory of the machine that made it.
                Some(u32::from_le_bytes(bytes.ok_or("a checksum is no CRC-32C")?))
            }
            _ => return Err("its checksums are not CRC-32C"),
        };
        let seen = AtomicBool::new(false);
        Ok((
            name,
            Listed {
                size: self.size,
                crc32c,
                seen,
            },
        ))
    }
}

/// By their paths. There may be so many that no list of them is kept beside.
struct Files(HashMap<Vec<u8>, Listed>);

impl<'de> Deserialize<'de> for Files {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Files;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of files")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Files, A::Error> {
                let mut files = HashMap::new();
                while let Some(file) = list.next_element::<File>()? {
                    let (name, listed) = file.listed().map_err(de::Error::custom)?;
                    if files.insert(name, listed).is_some() {
                        return Err(de::Error::custom("a file is listed twice"));
                    }
                }
                Ok(Files(files))
            }
        }
        from.deserialize_seq(List)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_postgresql_lists_them() {
        let text = r#"{ "PostgreSQL-Backup-Manifest-Version": 2, "System-Identifier": 7, "Files": [
            { "Path": "base/5/\"x\"", "Size": 8192, "Last-Modified": "2026-11-30 05:52:41 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "65a30b6b" },
            { "Encoded-Path": "67f6", "Size": 0, "Last-Modified": "2026-11-30 05:52:41 GMT" }
            ], "WAL-Ranges": [], "Manifest-Checksum": "00"}"#;
        let document: Document = serde_json::from_str(text).unwrap();
        let manifest = Manifest {
            files: document.files.0,
        };
        assert_eq!(manifest.bytes(), 8192);
        let listed = manifest.take(b"base/5/\"x\"").unwrap();
        assert_eq!(listed.crc32c, Some(0x6b0b_a365));
        assert!(manifest.take(b"base/5/\"x\"").is_none());
        assert_eq!(manifest.missing(), Some(&b"g\xf6"[..]));
        assert_eq!(manifest.take(b"g\xf6").unwrap().crc32c, None);
        assert_eq!(manifest.missing(), None);
        let other = manifest.without(&[55, 6]);
        assert!(other.lists(b"base/5/\"x\""));
        let without = other.without(&[5]);
        assert!(!without.lists(b"base/5/\"x\"") && without.lists(b"g\xf6"));
        for (from, to) in [
            ("65a30b6b", "65a30b"),
            ("CRC32C", "SHA256"),
            ("\"Encoded-Path\"", "\"Other\""),
            (
                "\"Encoded-Path\": \"67f6\"",
                "\"Path\": \"base/5/\\\"x\\\"\"",
            ),
        ] {
            let wrong = text.replace(from, to);
            assert!(serde_json::from_str::<Document>(&wrong).is_err(), "{wrong}");
        }
    }
}
