//! Put Blob and Get Blob: a small blob in one request.

use ureq::http::Method;

use crate::properties::write_sha256;
use crate::request::{Call, Operation};
use crate::transport::{Cancel, Fault, body_of};
use crate::{Client, Error, ErrorKind, Permission, Properties, Sha256};

/// How large an answer is expected to be whose size is not known yet: a segment of WAL.
const EXPECTED: u64 = 16 << 20;

/// What is recorded of a blob that is put whole, as its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Of what it holds decompressed: `raw_sha256`.
    pub raw_sha256: Sha256,
    /// How many bytes that has: `raw_size`.
    pub raw_size: u64,
    /// Who put it: `writer`.
    pub writer: String,
}

/// A blob that was asked for whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeBlob {
    /// What the service says of it.
    pub properties: Properties,
    /// Its bytes; none if they are more than the caller wants in memory.
    pub bytes: Option<Vec<u8>>,
}

impl Client {
    /// Puts a blob in one request, which the service takes only if the name is free (`If-None-Match: *`) and the bytes
    /// arrive as they were sent (CRC-64). When this returns without an error, the service has it.
    ///
    /// # Errors
    /// As every request. Kind [`Exists`](ErrorKind::Exists) if the name is taken: perhaps by these bytes, whose put was
    /// done although its answer was lost.
    pub fn put_blob(&self, name: &str, bytes: &[u8], record: &Record) -> Result<(), Error> {
        let needs = [Permission::Create];
        let operation = Operation::new(format!("cannot put '{name}'"), &needs);
        let first = Call::new(Method::PUT, self.url(name).path(), "")
            .header("x-ms-blob-type", "BlockBlob")
            .header("x-ms-blob-content-type", "application/gzip")
            .header("x-ms-meta-raw_sha256", write_sha256(&record.raw_sha256))
            .header("x-ms-meta-raw_size", record.raw_size.to_string())
            .header("x-ms-meta-writer", printable(&record.writer))
            .header("if-none-match", "*")
            .checked_body(bytes);
        // As for a block: a refusal may be lost when the connection is closed before all was sent.
        let again = first.clone().header("expect", "100-continue");
        let mut attempts = 0;
        let exchange = self.exchange();
        let put = exchange.retry(&operation, &Cancel::default(), |authorization| {
            attempts += 1;
            let call = if attempts % 2 == 1 { &first } else { &again };
            exchange.send(call, authorization).map(drop)
        });
        put.map_err(|given_up| match given_up.error.kind() {
            // The service may also say 412 of an unmet `If-None-Match: *`.
            ErrorKind::Changed => given_up.error.of_kind(ErrorKind::Exists),
            _ => given_up.error,
        })
    }

    /// Gets a blob in one request, if it has at most `most` bytes.
    ///
    /// # Errors
    /// As every request. Kind [`NotFound`](ErrorKind::NotFound) if there is none.
    pub fn get_blob(&self, name: &str, most: u64) -> Result<WholeBlob, Error> {
        let operation = Operation::new(format!("cannot read '{name}'"), &[Permission::Read]);
        let mut call = Call::new(Method::GET, self.url(name).path(), "");
        call.expected = most.min(EXPECTED);
        let exchange = self.exchange();
        exchange.ask(&operation, |authorization| {
            let answer = exchange.send(&call, authorization)?;
            if answer.status() != 200 {
                let said = format!("asked for all of it, got {}", answer.status().as_u16());
                return Err(Fault::Malformed(said));
            }
            let properties = Properties::read(answer.headers())?;
            let bytes = match properties.size <= most {
                true => Some(body_of(answer.into_body(), most.saturating_add(1))?),
                false => None,
            };
            Ok(WholeBlob { properties, bytes })
        })
    }
}

/// What a header may hold.
fn printable(text: &str) -> String {
    let proper = |char: char| {
        if char.is_ascii_graphic() || char == ' ' {
            char
        } else {
            '?'
        }
    };
    text.trim().chars().map(proper).collect()
}
