//! Get Blob: requests that are pinned to the blob's ETag.

use std::io::{self, Read};

use ureq::Body;
use ureq::http::{HeaderMap, Method, Response};

use crate::credential::Authorization;
use crate::request::{Call, Operation};
use crate::transport::{Cancel, Fault, broken};
use crate::{Client, Error, ErrorKind, Permission, Properties};

/// After this many bytes of an answer that is cut the rest is asked for at once, as after a success.
const PROGRESS: usize = 64 << 10;

/// A blob as it was when its properties were read: if it is written after that, every request fails with kind
/// [`Changed`](crate::ErrorKind::Changed).
#[derive(Debug, Clone)]
pub(super) struct PinnedBlob {
    pub(super) client: Client,
    pub(super) name: String,
    pub(super) properties: Properties,
}

impl PinnedBlob {
    pub(super) fn size(&self) -> u64 {
        self.properties.size
    }

    /// Fills `into` with the bytes from `offset` on. After a cut it continues with the first missing byte.
    pub(super) fn fetch(&self, offset: u64, into: &mut [u8], cancel: &Cancel) -> Result<(), Error> {
        let cannot = format!("cannot read '{}'", self.name);
        let operation = Operation::new(cannot, &[Permission::Read]);
        let mut have = 0;
        while have < into.len() {
            let so_far = have;
            self.client
                .exchange()
                .retry(&operation, cancel, |authorization| {
                    let rest = into.get_mut(have..).unwrap_or_default();
                    let met = self.fetch_once(offset + have as u64, rest, &mut have, authorization);
                    match met {
                        // Enough arrived to start the deadline of the retries again.
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
        authorization: &Authorization,
    ) -> Result<(), Fault> {
        let last = offset + into.len() as u64 - 1;
        let mut call = Call::new(Method::GET, self.client.url(&self.name).path(), "")
            .header("range", format!("bytes={offset}-{last}"))
            .header("if-match", &self.properties.etag);
        call.expected = into.len() as u64;
        let answer = self.client.exchange().send(&call, authorization)?;
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
        // The connection can be used again only when the answer's end (of its last chunk, perhaps) has been read.
        let _ = body.read(&mut [0]);
        Ok(())
    }

    /// Whether the answer is the range that was asked for, of the blob that was asked for.
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
