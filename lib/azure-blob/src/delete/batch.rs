//! Blob Batch: many deletions in one request ("Blob Batch", multipart/mixed).

use std::fmt::Write;

use ureq::Body;
use ureq::http::{HeaderMap, Response, StatusCode};

use super::deletion::Deletion;
use crate::Client;
use crate::credential::Authorization;
use crate::transport::{Fault, Refusal, body_of};

/// The most requests in a batch.
pub(super) const MAX_PARTS: usize = 256;
/// The answer has 256 parts of some hundred bytes.
const LONGEST_ANSWER: u64 = 4 << 20;
const BOUNDARY: &str = "batch_c62c1b6f6d7b4e5f";

/// The batch that deletes `names`: its boundary and its body. The body is a secret: each part carries the credential.
pub(super) fn request(
    client: &Client,
    names: &[&str],
    authorization: &Authorization,
) -> (&'static str, String) {
    let mut body = String::new();
    for (at, name) in names.iter().enumerate() {
        let signed = authorization.sign(&client.url(name).path(), "");
        // Writing to a String cannot fail.
        let _ = write!(
            body,
            "--{BOUNDARY}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\
             Content-ID: {at}\r\n\r\nDELETE {} HTTP/1.1\r\n",
            signed.target()
        );
        if let Some(header) = signed.header() {
            let _ = write!(body, "Authorization: {header}\r\n");
        }
        body.push_str("Content-Length: 0\r\n\r\n");
    }
    body.push_str("--");
    body.push_str(BOUNDARY);
    body.push_str("--\r\n");
    (BOUNDARY, body)
}

/// What became of each of `count` blobs; none where the answer leaves that open.
pub(super) fn answers(
    answer: Response<Body>,
    count: usize,
) -> Result<Vec<Option<Deletion>>, Fault> {
    let content_type = answer
        .headers()
        .get("content-type")
        .and_then(|value| value.to_str().ok());
    let boundary = content_type.and_then(boundary).map(ToOwned::to_owned);
    let body = body_of(answer.into_body(), LONGEST_ANSWER)?;
    let Some(boundary) = boundary else {
        return Err(Fault::Malformed(
            "a batch's answer without a boundary".into(),
        ));
    };
    Ok(parse(&String::from_utf8_lossy(&body), &boundary, count))
}

fn boundary(content_type: &str) -> Option<&str> {
    let (_, value) = content_type.split_once("boundary=")?;
    Some(value.split(';').next()?.trim().trim_matches('"'))
}

fn parse(body: &str, boundary: &str, count: usize) -> Vec<Option<Deletion>> {
    let mut deletions = vec![None; count];
    for part in body.split(&format!("--{boundary}")) {
        if let Some((at, deletion)) = read_part(part)
            && let Some(place) = deletions.get_mut(at)
        {
            *place = deletion;
        }
    }
    deletions
}

/// A part's Content-ID, and what became of the blob: none if it is neither deleted nor retained, as it is then asked
/// for again alone.
fn read_part(part: &str) -> Option<(usize, Option<Deletion>)> {
    let mut lines = part.lines();
    let id = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-id")
            .then(|| value.trim().parse().ok())?
    };
    let at = lines
        .by_ref()
        .take_while(|line| !line.starts_with("HTTP/"))
        .find_map(id);
    let at = at?;
    let rest = part.find("HTTP/1.1 ").and_then(|from| part.get(from..))?;
    let status: u16 = rest.get(9..12)?.parse().ok()?;
    let deletion = match status {
        202 => Some(Deletion::Deleted),
        404 if !rest.contains("ContainerNotFound") => Some(Deletion::Gone),
        status => refusal(status, rest)?
            .retained()
            .map(|by| Deletion::Retained(by.to_owned())),
    };
    Some((at, deletion))
}

fn refusal(status: u16, part: &str) -> Option<Refusal> {
    let body = part
        .find("<?xml")
        .and_then(|from| part.get(from..))
        .unwrap_or_default();
    let mut refusal = Refusal::read(
        StatusCode::from_u16(status).ok()?,
        &HeaderMap::new(),
        body.trim_end().as_bytes(),
    );
    let header = part.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("x-ms-error-code")
            .then(|| value.trim())
    });
    if let Some(code) = header {
        refusal.code = code.to_owned();
    }
    Some(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the documentation of Blob Batch shows it.
    const ANSWER: &str = "--batchresponse_66925647\r\nContent-Type: application/http\r\nContent-ID: 0\r\n\r\n\
        HTTP/1.1 202 Accepted\r\nx-ms-delete-type-permanent: true\r\nx-ms-version: 2018-11-09\r\n\r\n\
        --batchresponse_66925647\r\nContent-Type: application/http\r\nContent-ID: 2\r\n\r\n\
        HTTP/1.1 404 The specified blob does not exist.\r\nx-ms-error-code: BlobNotFound\r\nContent-Length: 216\r\nContent-Type: application/xml\r\n\r\n\
        <?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<Error><Code>BlobNotFound</Code><Message>x</Message></Error>\r\n\
        --batchresponse_66925647\r\nContent-Type: application/http\r\nContent-ID: 1\r\n\r\n\
        HTTP/1.1 409 x\r\nx-ms-error-code: BlobImmutableDueToPolicy\r\n\r\n\
        --batchresponse_66925647\r\nContent-Type: application/http\r\nContent-ID: 3\r\n\r\n\
        HTTP/1.1 503 x\r\nx-ms-error-code: ServerBusy\r\n\r\n\
        --batchresponse_66925647--\r\n";

    #[test]
    fn an_answer_is_read() {
        let deletions = parse(ANSWER, "batchresponse_66925647", 5);
        assert_eq!(
            deletions,
            [
                Some(Deletion::Deleted),
                Some(Deletion::Retained("immutability policy".into())),
                Some(Deletion::Gone),
                None,
                None
            ]
        );
    }

    #[test]
    fn a_cut_answer_leaves_the_rest_unknown() {
        for cut in 0..ANSWER.len() {
            let deletions = parse(&ANSWER[..cut], "batchresponse_66925647", 4);
            assert_eq!(deletions.len(), 4);
        }
        assert_eq!(parse("", "x", 2), [None, None]);
    }

    #[test]
    fn a_boundary_is_found() {
        assert_eq!(boundary("multipart/mixed; boundary=a_b"), Some("a_b"));
        assert_eq!(boundary("multipart/mixed; boundary=\"a\"; x=y"), Some("a"));
        assert_eq!(boundary("text/plain"), None);
    }
}
