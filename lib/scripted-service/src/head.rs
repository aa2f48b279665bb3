//! The head of a request (RFC 9112, section 2.1).

use std::collections::HashMap;
use std::io::{self, BufRead};

/// Its first line and its headers.
pub(crate) struct Head {
    pub(crate) line: String,
    /// By their names in lower case.
    pub(crate) headers: HashMap<String, String>,
}

impl Head {
    /// Reads one; none if the client has closed the connection.
    pub(crate) fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            if line == "\r\n" {
                break;
            }
            lines.push(line.trim_end().to_owned());
        }
        let line = lines.remove(0);
        let headers = lines
            .iter()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        Ok(Some(Self { line, headers }))
    }
}
