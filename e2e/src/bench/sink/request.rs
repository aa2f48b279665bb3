//! A request as the sink reads it.

use std::collections::HashMap;
use std::io::{self, BufRead};

/// A request without its body.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: HashMap<String, String>,
    pub(super) length: u64,
    pub(super) range: Option<(u64, u64)>,
    pub(super) continues: bool,
}

impl Request {
    /// The operation, where the method does not say it.
    pub(super) fn comp(&self) -> Option<&str> {
        self.query.get("comp").map(String::as_str)
    }

    /// The next one; none if the client has closed the connection.
    pub(super) fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = query.split('&').filter_map(|pair| pair.split_once('='));
        let mut request = Self {
            method,
            path: path.to_owned(),
            // What is looked at needs no decoding, block IDs (base64) excepted.
            query: query
                .map(|(key, value)| (key.to_owned(), decoded(value)))
                .collect(),
            length: 0,
            range: None,
            continues: false,
        };
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                return Ok(Some(request));
            };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => request.length = value.parse().unwrap_or(0),
                "expect" => request.continues = true,
                "range" | "x-ms-range" => request.range = range(value),
                _ => {}
            }
        }
    }
}

/// `bytes=0-99`, `bytes=100-`.
fn range(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().unwrap_or(u64::MAX)))
}

/// Base64 in a query.
fn decoded(value: &str) -> String {
    let mut text = value.to_owned();
    for (code, character) in [("%2B", "+"), ("%2F", "/"), ("%3D", "=")] {
        text = text
            .replace(code, character)
            .replace(&code.to_lowercase(), character);
    }
    text
}
