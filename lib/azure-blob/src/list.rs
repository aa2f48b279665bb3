//! List Blobs.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use chrono::DateTime;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use ureq::http::Method;

use crate::exchange::{Call, body_of};
use crate::properties::{quoted, read_sha256};
use crate::refusal::Asked;
use crate::retry::Fault;
use crate::token::Need;
use crate::url::encode_value;
use crate::{Client, Error, ErrorKind, Properties};

/// A page of 5,000 blobs, the most that the service gives, has some 5 MB.
const PAGE: u64 = 64 << 20;
/// Blobs on a page, at most: four times what the service gives.
const ENTRIES: usize = 20_000;
/// Pages that are followed, at most: five million blobs of the service's pages. A listing that goes on
/// is one without end.
const PAGES: usize = 1_000;
/// Blobs that are kept of a listing, at most.
const KEPT: usize = 100_000;

/// A blob in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name, the container URL's prefix taken off.
    pub name: String,
    /// What the listing says of it.
    pub properties: Properties,
}

#[derive(Debug, Deserialize)]
#[serde(rename = "EnumerationResults", rename_all = "PascalCase")]
struct Page {
    blobs: Entries,
    next_marker: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Entries {
    #[serde(rename = "$value", default, deserialize_with = "entries")]
    entries: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
enum Entry {
    Blob(Box<BlobEntry>),
    /// A "directory": the names in it are not ours.
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BlobEntry {
    name: Name,
    properties: PropertiesEntry,
    metadata: Option<MetadataEntry>,
}

#[derive(Debug, Deserialize)]
struct Name {
    /// Set where XML cannot hold the name: then it is percent-encoded.
    #[serde(rename = "@Encoded", default)]
    encoded: bool,
    #[serde(rename = "$text", default)]
    text: String,
}

#[derive(Debug, Deserialize)]
struct PropertiesEntry {
    #[serde(rename = "Content-Length")]
    size: u64,
    #[serde(rename = "Etag")]
    etag: String,
    #[serde(rename = "Last-Modified")]
    last_modified: Option<String>,
    #[serde(rename = "AccessTier")]
    tier: Option<String>,
}

#[derive(Debug, Deserialize)]
struct MetadataEntry {
    sha256: Option<String>,
}

impl Client {
    /// The blobs directly under the prefix (not in deeper "directories"), in the order of their names.
    ///
    /// # Errors
    /// As every request; a listing without end.
    pub fn list(&self) -> Result<Vec<Item>, Error> {
        self.list_named(|_| true)
    }

    /// Those of them whose name is wanted. What is not wanted takes no memory.
    ///
    /// # Errors
    /// As [`Client::list`].
    pub fn list_named(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<Item>, Error> {
        let mut items = Vec::new();
        let mut marker = String::new();
        // Hashed, so that a long marker takes no more than a short one.
        let hasher = RandomState::new();
        let mut followed = HashSet::new();
        for _ in 0..PAGES {
            let page = self.list_page(&marker)?;
            let entries = page.blobs.entries.into_iter();
            let found = entries.filter_map(|entry| self.item(entry));
            items.extend(found.filter(|item| wanted(&item.name)));
            if items.len() > KEPT {
                return Err(self.unlistable(&format!("it has more than {KEPT} backups")));
            }
            match page.next_marker.filter(|next| !next.is_empty()) {
                None => return Ok(items),
                // A page may be empty and yet not the last.
                Some(next) if followed.insert(hasher.hash_one(&next)) => marker = next,
                Some(_) => return Err(self.unlistable("the same page comes again and again")),
            }
        }
        Err(self.unlistable(&format!("there is no end after {PAGES} pages")))
    }

    fn unlistable(&self, why: &str) -> Error {
        let container = self.container();
        Error::new(
            ErrorKind::Malformed,
            format!("cannot list '{container}': {why}"),
        )
        .hint("is it the Blob service? Give backups a prefix of their own: …/CONTAINER/PREFIX")
    }

    fn list_page(&self, marker: &str) -> Result<Page, Error> {
        let container = self.container();
        let mut query = "restype=container&comp=list&delimiter=%2F&include=metadata".to_owned();
        for (name, value) in [("prefix", container.prefix()), ("marker", marker)] {
            if !value.is_empty() {
                query.push_str(&format!("&{name}={}", encode_value(value)));
            }
        }
        let call = Call::new(Method::GET, container.path(), query);
        let asked = Asked::new(format!("cannot list '{container}'"), &[Need::List]);
        self.ask(&asked, |token| {
            let answer = self.send(&call, token)?;
            let body = body_of(answer.into_body(), PAGE)?;
            parse(&body)
        })
    }

    fn item(&self, entry: Entry) -> Option<Item> {
        let Entry::Blob(entry) = entry else {
            return None;
        };
        let name = match entry.name.encoded {
            true => percent_encoding::percent_decode_str(&entry.name.text)
                .decode_utf8_lossy()
                .into_owned(),
            false => entry.name.text,
        };
        let properties = entry.properties;
        let modified = properties.last_modified.as_deref();
        let metadata = entry.metadata.and_then(|metadata| metadata.sha256);
        Some(Item {
            name: name.strip_prefix(self.container().prefix())?.to_owned(),
            properties: Properties {
                size: properties.size,
                etag: quoted(&properties.etag),
                sha256: metadata.as_deref().and_then(read_sha256),
                tier: properties.tier,
                last_modified: modified
                    .and_then(|date| DateTime::parse_from_rfc2822(date).ok())
                    .map(|date| date.to_utc()),
            },
        })
    }
}

/// The entries of a page, as many as a page may have.
fn entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Entry>, D::Error> {
    struct Bounded;

    impl<'de> Visitor<'de> for Bounded {
        type Value = Vec<Entry>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the blobs of a page")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = all.next_element()? {
                entries.push(entry);
                if entries.len() > ENTRIES {
                    let said = format!("a page has more than {ENTRIES} blobs");
                    return Err(serde::de::Error::custom(said));
                }
            }
            Ok(entries)
        }
    }

    deserializer.deserialize_seq(Bounded)
}

fn parse(body: &[u8]) -> Result<Page, Fault> {
    let text = std::str::from_utf8(body).map_err(|error| Fault::Malformed(error.to_string()))?;
    quick_xml::de::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| Fault::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\
        <EnumerationResults ServiceEndpoint=\"https://a/\" ContainerName=\"backups\">\
        <Prefix>p/</Prefix><Delimiter>/</Delimiter><Blobs>\
        <Blob><Name>p/a&amp;b &#252;.gz</Name><Properties><Creation-Time>x</Creation-Time>\
        <Last-Modified>Sun, 22 Nov 2026 10:00:00 GMT</Last-Modified><Etag>0x8D</Etag>\
        <Content-Length>12</Content-Length><AccessTier>Cool</AccessTier></Properties>\
        <Metadata><other>x</other><sha256>e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855</sha256></Metadata><OrMetadata /></Blob>\
        <BlobPrefix><Name>p/deeper/</Name></BlobPrefix>\
        <Blob><Name Encoded=\"true\">p/x%EF%BF%BE</Name><Properties><Etag>\"0x8E\"</Etag><Content-Length>0</Content-Length></Properties></Blob>\
        </Blobs><NextMarker>2!8</NextMarker></EnumerationResults>";

    #[test]
    fn a_page_is_read() {
        let page = parse(PAGE.as_bytes()).unwrap();
        assert_eq!(page.next_marker.as_deref(), Some("2!8"));
        let blobs = page.blobs.entries.iter().filter_map(|entry| match entry {
            Entry::Blob(blob) => Some(blob),
            Entry::Other => None,
        });
        let blobs: Vec<_> = blobs.collect();
        assert_eq!(blobs.len(), 2);
        assert_eq!(blobs[0].name.text, "p/a&b ü.gz");
        assert_eq!(blobs[0].properties.size, 12);
        assert!(blobs[0].metadata.as_ref().unwrap().sha256.is_some());
        assert!(blobs[1].name.encoded);
    }

    #[test]
    fn an_empty_page_is_read() {
        for blobs in ["<Blobs />", "<Blobs></Blobs>"] {
            let text = format!("<EnumerationResults>{blobs}<NextMarker /></EnumerationResults>");
            let page = parse(text.as_bytes()).unwrap();
            assert!(page.blobs.entries.is_empty());
            assert_eq!(page.next_marker.unwrap_or_default(), "");
        }
    }

    #[test]
    fn a_page_without_end_is_an_error() {
        let page = |count| {
            let blob = "<Blob><Name>a</Name><Properties><Etag>1</Etag><Content-Length>1</Content-Length></Properties></Blob>";
            let blobs = blob.repeat(count);
            format!("<EnumerationResults><Blobs>{blobs}</Blobs></EnumerationResults>")
        };
        let whole = parse(page(ENTRIES).as_bytes()).unwrap();
        assert_eq!(whole.blobs.entries.len(), ENTRIES);
        match parse(page(ENTRIES + 1).as_bytes()) {
            Err(Fault::Malformed(said)) => assert!(said.contains("more than 20000"), "{said}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_no_page_is_an_error() {
        for cut in [1, 60, 200, 400, PAGE.len() - 1] {
            let text = PAGE.as_bytes().get(..cut).unwrap();
            assert!(matches!(parse(text), Err(Fault::Malformed(_))), "{cut}");
        }
        for text in ["", "<html><body>proxy</body></html>", "\u{0}", "{}"] {
            assert!(
                matches!(parse(text.as_bytes()), Err(Fault::Malformed(_))),
                "{text}"
            );
        }
    }
}
