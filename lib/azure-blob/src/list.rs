//! List Blobs.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::ControlFlow;

use chrono::DateTime;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use ureq::http::Method;

use crate::properties::{quoted, read_sha256};
use crate::request::{Call, Operation};
use crate::transport::{Fault, body_of};
use crate::url::encode_value;
use crate::{Client, Error, ErrorKind, Permission, Properties};

/// The most bytes of a page. One of 5,000 blobs, the most that the service sends, has some 5 MB.
const MAX_PAGE: u64 = 64 << 20;
/// The most blobs on a page: four times what the service sends.
const MAX_ON_PAGE: usize = 20_000;
/// The most pages, five million blobs: a listing that goes on after them has no end.
const MAX_PAGES: usize = 1_000;
/// The most blobs that are kept of a listing.
const MAX_KEPT: usize = 100_000;

/// A blob in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedBlob {
    /// Its name, the container URL's prefix taken off.
    pub name: String,
    /// What the listing says of it.
    pub properties: Properties,
}

#[derive(Debug, Deserialize)]
#[serde(rename = "EnumerationResults", rename_all = "PascalCase")]
struct Page {
    blobs: Blobs,
    next_marker: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Blobs {
    #[serde(rename = "$value", default, deserialize_with = "elements")]
    elements: Vec<Element>,
}

#[derive(Debug, Deserialize)]
enum Element {
    Blob(Box<BlobElement>),
    /// A "directory".
    BlobPrefix(PrefixElement),
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BlobElement {
    name: Name,
    properties: PropertiesElement,
    metadata: Option<MetadataElement>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PrefixElement {
    name: Name,
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
struct PropertiesElement {
    #[serde(rename = "Content-Length")]
    size: u64,
    #[serde(rename = "Etag")]
    etag: String,
    #[serde(rename = "Last-Modified")]
    last_modified: Option<String>,
    #[serde(rename = "AccessTier")]
    tier: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct MetadataElement {
    sha256: Option<String>,
    raw_sha256: Option<String>,
}

/// Which names are listed, under the container URL's prefix.
#[derive(Debug, Clone, Copy)]
struct Listing<'a> {
    /// What the names begin with, the container URL's prefix aside.
    begin: &'a str,
    /// Whether the metadata (the SHA-256) is asked for, which makes pages longer.
    metadata: bool,
}

impl Client {
    /// The blobs directly under the prefix (not in deeper "directories"), in the order of their names.
    ///
    /// # Errors
    /// As every request; a listing without end.
    pub fn list(&self) -> Result<Vec<ListedBlob>, Error> {
        self.list_named(|_| true)
    }

    /// As [`list`](Client::list), only those whose name is wanted. The others take no memory.
    ///
    /// # Errors
    /// As [`Client::list`].
    pub fn list_named(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<ListedBlob>, Error> {
        let mut blobs = Vec::new();
        let listing = Listing {
            begin: "",
            metadata: true,
        };
        self.pages(listing, |page| {
            let elements = page.blobs.elements.into_iter();
            let found = elements.filter_map(|element| self.listed(element));
            blobs.extend(found.filter(|blob| wanted(&blob.name)));
            match blobs.len() > MAX_KEPT {
                true => Err(self.unlistable(&format!("it has more than {MAX_KEPT} backups"))),
                false => Ok(ControlFlow::Continue(())),
            }
        })?;
        Ok(blobs)
    }

    /// Hands the blobs whose names begin with `begin` (and have no slash after it) to `each`, in the order of their
    /// names, until it breaks. Nothing is kept, so there may be millions. Their recorded digests are not asked for.
    ///
    /// # Errors
    /// As [`Client::list`].
    pub fn list_beginning(
        &self,
        begin: &str,
        mut each: impl FnMut(ListedBlob) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let listing = Listing {
            begin,
            metadata: false,
        };
        self.pages(listing, |page| {
            let elements = page.blobs.elements.into_iter();
            let mut found = elements.filter_map(|element| self.listed(element));
            Ok(found.try_for_each(&mut each))
        })
    }

    /// The "directories" whose names begin with `begin` (and have no slash after it), each without its slash.
    ///
    /// # Errors
    /// As [`Client::list`].
    pub fn directories_beginning(&self, begin: &str) -> Result<Vec<String>, Error> {
        let listing = Listing {
            begin,
            metadata: false,
        };
        let mut directories = Vec::new();
        self.pages(listing, |page| {
            let found = page.blobs.elements.into_iter();
            directories.extend(found.filter_map(|element| match element {
                Element::BlobPrefix(it) => {
                    let name = self.relative(it.name)?;
                    Some(name.strip_suffix('/').unwrap_or(&name).to_owned())
                }
                _ => None,
            }));
            match directories.len() > MAX_KEPT {
                true => Err(self.unlistable(&format!("it has more than {MAX_KEPT} directories"))),
                false => Ok(ControlFlow::Continue(())),
            }
        })?;
        Ok(directories)
    }

    /// Hands all pages to `each`, until it breaks.
    fn pages(
        &self,
        listing: Listing,
        mut each: impl FnMut(Page) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        let mut marker = String::new();
        // Only hashes of the markers are kept: a marker may be long.
        let hasher = RandomState::new();
        let mut followed = HashSet::new();
        for _ in 0..MAX_PAGES {
            let mut page = self.list_page(listing, &marker)?;
            let next_marker = page.next_marker.take();
            if each(page)?.is_break() {
                return Ok(());
            }
            match next_marker.filter(|next| !next.is_empty()) {
                None => return Ok(()),
                // Even an empty page may not be the last.
                Some(next) if followed.insert(hasher.hash_one(&next)) => marker = next,
                Some(_) => return Err(self.unlistable("the same page comes again and again")),
            }
        }
        Err(self.unlistable(&format!("there is no end after {MAX_PAGES} pages")))
    }

    fn unlistable(&self, why: &str) -> Error {
        let container = self.container();
        Error::new(
            ErrorKind::Malformed,
            format!("cannot list '{container}': {why}"),
        )
        .hint("is it the Blob service? Give backups a prefix of their own: …/CONTAINER/PREFIX")
    }

    fn list_page(&self, listing: Listing, marker: &str) -> Result<Page, Error> {
        let container = self.container();
        let mut query = "restype=container&comp=list&delimiter=%2F".to_owned();
        if listing.metadata {
            query.push_str("&include=metadata");
        }
        let prefix = format!("{}{}", container.prefix(), listing.begin);
        for (name, value) in [("prefix", prefix.as_str()), ("marker", marker)] {
            if !value.is_empty() {
                query.push_str(&format!("&{name}={}", encode_value(value)));
            }
        }
        let call = Call::new(Method::GET, container.path(), query);
        let operation = Operation::new(format!("cannot list '{container}'"), &[Permission::List]);
        let exchange = self.exchange();
        exchange.ask(&operation, |authorization| {
            let answer = exchange.send(&call, authorization)?;
            let body = body_of(answer.into_body(), MAX_PAGE)?;
            parse(&body)
        })
    }

    fn listed(&self, element: Element) -> Option<ListedBlob> {
        let Element::Blob(blob) = element else {
            return None;
        };
        let properties = blob.properties;
        let modified = properties.last_modified.as_deref();
        let metadata = blob.metadata.unwrap_or_default();
        let digest = |text: Option<String>| text.as_deref().and_then(read_sha256);
        Some(ListedBlob {
            name: self.relative(blob.name)?,
            properties: Properties {
                size: properties.size,
                etag: quoted(&properties.etag),
                sha256: digest(metadata.sha256),
                raw_sha256: digest(metadata.raw_sha256),
                tier: properties.tier,
                last_modified: modified
                    .and_then(|date| DateTime::parse_from_rfc2822(date).ok())
                    .map(|date| date.to_utc()),
            },
        })
    }

    /// A name in a listing without the container URL's prefix.
    fn relative(&self, name: Name) -> Option<String> {
        let name = match name.encoded {
            true => percent_encoding::percent_decode_str(&name.text)
                .decode_utf8_lossy()
                .into_owned(),
            false => name.text,
        };
        Some(name.strip_prefix(self.container().prefix())?.to_owned())
    }
}

/// The elements of a page, no more than a page may have.
fn elements<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Element>, D::Error> {
    struct Bounded;

    impl<'de> Visitor<'de> for Bounded {
        type Value = Vec<Element>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the blobs of a page")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = all.next_element()? {
                elements.push(element);
                if elements.len() > MAX_ON_PAGE {
                    let said = format!("a page has more than {MAX_ON_PAGE} blobs");
                    return Err(serde::de::Error::custom(said));
                }
            }
            Ok(elements)
        }
    }

    deserializer.deserialize_seq(Bounded)
}

/// Whether it is a page of a listing: the way in for the fuzzer.
#[cfg(fuzzing)]
pub fn is_listing(body: &[u8]) -> bool {
    parse(body).is_ok()
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
        let blobs = page.blobs.elements.iter().filter_map(|entry| match entry {
            Element::Blob(blob) => Some(blob),
            _ => None,
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
            assert!(page.blobs.elements.is_empty());
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
        let whole = parse(page(MAX_ON_PAGE).as_bytes()).unwrap();
        assert_eq!(whole.blobs.elements.len(), MAX_ON_PAGE);
        match parse(page(MAX_ON_PAGE + 1).as_bytes()) {
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
