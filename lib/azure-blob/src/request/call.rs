//! One request of the REST API, before the credential is added to it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::CrcAlgorithm;
use ureq::http::Method;

/// A request without its credential.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// What follows the host, percent-encoded.
    pub(crate) path: String,
    /// Without `?` and without the token; may be empty.
    pub(crate) query: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<&'a [u8]>,
    /// Roughly how many bytes the body of the answer has: a long answer gets more time.
    pub(crate) expected: u64,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, path: String, query: impl Into<String>) -> Self {
        Self {
            method,
            path,
            query: query.into(),
            headers: Vec::new(),
            body: None,
            expected: 0,
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: &'a [u8]) -> Self {
        self.body = Some(body);
        self
    }

    /// A body with its checksum: the service refuses it if it arrives changed. `x-ms-content-crc64` (Put Block,
    /// Put Block List) is CRC-64/NVME, little-endian, in base64. `Content-MD5` would do the same at ten times
    /// the CPU.
    pub(crate) fn checked_body(self, body: &'a [u8]) -> Self {
        let crc64 = crc_fast::checksum(CrcAlgorithm::Crc64Nvme, body);
        self.header("x-ms-content-crc64", BASE64.encode(crc64.to_le_bytes()))
            .body(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_that_goes_with_a_body() {
        let call = Call::new(Method::PUT, String::new(), "").checked_body(b"123456789");
        // The check value of CRC-64/NVME, its last byte first.
        let crc64 = 0xae8b_1486_0a79_9888_u64;
        let expected = BASE64.encode(crc64.to_le_bytes());
        assert_eq!(call.headers, [("x-ms-content-crc64", expected)]);
        assert_eq!(call.body, Some(b"123456789".as_slice()));
    }
}
