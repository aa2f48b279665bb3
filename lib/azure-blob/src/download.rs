//! Get Blob, in ranges that are pinned to the ETag.

use std::io::{self, Read};

use ureq::Body;
use ureq::http::{HeaderMap, Method, Response};

use crate::cancel::Cancel;
use crate::exchange::{Call, broken};
use crate::ranges::Ranges;
use crate::refusal::Asked;
use crate::retry::Fault;
use crate::token::{Need, Token};
use crate::{BlobUrl, Client, Error, ErrorKind, Item, Properties};

/// An answer that is cut counts as a success, and is gone on with at once, if it gave as much.
const PROGRESS: usize = 64 << 10;

/// A blob to be read. Every request is pinned to its ETag: if it is written meanwhile, reading ends in
/// an error of kind [`Changed`](crate::ErrorKind::Changed).
#[derive(Debug, Clone)]
pub struct Blob {
    client: Client,
    name: String,
    properties: Properties,
}

impl Client {
    /// A blob to be read, pinned to what it is now: asks for its properties.
    ///
    /// # Errors
    /// Kind [`NotFound`](crate::ErrorKind::NotFound) if there is none.
    pub fn blob(&self, name: &str) -> Result<Blob, Error> {
        Ok(Blob {
            client: self.clone(),
            name: name.to_owned(),
            properties: self.properties(name)?,
        })
    }

    /// A blob to be read, pinned to what the listing said of it: asks nothing.
    pub fn blob_of(&self, item: &Item) -> Blob {
        Blob {
            client: self.clone(),
            name: item.name.clone(),
            properties: item.properties.clone(),
        }
    }
}

impl Blob {
    /// Its name, the prefix taken off.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its URL, without the token.
    pub fn url(&self) -> BlobUrl {
        self.client.url(&self.name)
    }

    /// What the service said of it.
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.properties.size
    }

    /// All its bytes.
    pub fn reader(&self) -> Download {
        self.range(0, self.size())
    }

    /// `length` bytes from `offset` on (fewer if it ends before), several ranges ahead.
    pub fn range(&self, offset: u64, length: u64) -> Download {
        let start = offset.min(self.size());
        let end = start.saturating_add(length).min(self.size());
        Download {
            ranges: Ranges::new(self.clone(), start..end, self.client.options().concurrency),
            current: Vec::new(),
            at: 0,
        }
    }

    /// The `length` bytes from `offset` on, in one request.
    ///
    /// # Errors
    /// As every request; and if the blob ends before.
    pub fn read_at(&self, offset: u64, length: usize) -> Result<Vec<u8>, Error> {
        if offset
            .checked_add(length as u64)
            .is_none_or(|end| end > self.size())
        {
            return Err(Error::new(
                ErrorKind::Malformed,
                format!("'{}' ends before byte {offset} + {length}", self.name),
            ));
        }
        let mut bytes = vec![0; length];
        self.fetch(offset, &mut bytes, &Cancel::default())?;
        Ok(bytes)
    }

    /// Fills `into` with the bytes from `offset` on. Goes on after a cut with the byte that is missing.
    pub(crate) fn fetch(&self, offset: u64, into: &mut [u8], cancel: &Cancel) -> Result<(), Error> {
        let asked = Asked::new(format!("cannot read '{}'", self.name), &[Need::Read]);
        let mut have = 0;
        while have < into.len() {
            let so_far = have;
            self.client.retry(&asked, cancel, |token| {
                let rest = into.get_mut(have..).unwrap_or_default();
                let met = self.fetch_once(offset + have as u64, rest, &mut have, token);
                match met {
                    // More than a little came: the clock of the retries begins anew.
                    Err(Fault::Broken(_)) if have - so_far >= PROGRESS => Ok(()),
                    met => met,
                }
            })?;
        }
        Ok(())
    }

    fn fetch_once(
        &self,
        offset: u64,
        into: &mut [u8],
        have: &mut usize,
        token: &Token,
    ) -> Result<(), Fault> {
        let last = offset + into.len() as u64 - 1;
        let mut call = Call::new(Method::GET, self.url().path(), "")
            .header("range", format!("bytes={offset}-{last}"))
            .header("if-match", &self.properties.etag);
        call.expected = into.len() as u64;
        let answer = self.client.send(&call, token)?;
        self.check_range(&answer, offset, into.len())?;
        let mut body = answer.into_body().into_reader();
        let mut at = 0;
        while let Some(space) = into.get_mut(at..).filter(|space| !space.is_empty()) {
            match body.read(space) {
                Ok(0) => return Err(Fault::Broken("the connection was cut".into())),
                Ok(count) => {
                    at += count;
                    *have += count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(&error)),
            }
        }
        // What is left of the answer (nothing, or its last chunk's end) lets the connection be used again.
        let _ = body.read(&mut [0]);
        Ok(())
    }

    /// The answer is the range that was asked for, of the blob that was asked for.
    fn check_range(
        &self,
        answer: &Response<Body>,
        offset: u64,
        length: usize,
    ) -> Result<(), Fault> {
        let headers = answer.headers();
        let etag = text(headers, "etag");
        if etag.is_some_and(|etag| etag != self.properties.etag) {
            return Err(Fault::Final(
                Error::new(
                    ErrorKind::Changed,
                    format!("cannot read '{}': it was written to meanwhile", self.name),
                )
                .hint("read it again from its beginning"),
            ));
        }
        let whole = answer.status() == 200 && offset == 0 && length as u64 == self.size();
        let range = text(headers, "content-range").unwrap_or_default();
        let wanted = format!(
            "bytes {offset}-{}/{}",
            offset + length as u64 - 1,
            self.size()
        );
        match etag.is_some() && (whole || (answer.status() == 206 && range == wanted)) {
            true => Ok(()),
            false => Err(Fault::Malformed(format!(
                "asked for {wanted}, got {} '{range}'",
                answer.status().as_u16()
            ))),
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The bytes of a blob, in order, with bounded memory, several ranges ahead. Its I/O errors hold an
/// [`Error`] ([`Error::from_io`]).
#[derive(Debug)]
pub struct Download {
    ranges: Ranges,
    current: Vec<u8>,
    at: usize,
}

impl Read for Download {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        if self.at == self.current.len() {
            let done = std::mem::take(&mut self.current);
            self.at = 0;
            match self.ranges.next(done)? {
                Some(bytes) => self.current = bytes,
                None => return Ok(0),
            }
        }
        let mut rest = self.current.get(self.at..).unwrap_or_default();
        let count = rest.read(into)?;
        self.at += count;
        Ok(count)
    }
}
