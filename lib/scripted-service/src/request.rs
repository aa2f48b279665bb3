//! A request, and how it is read.

use std::collections::HashMap;
use std::io::{self, BufReader};
use std::net::TcpStream;

use percent_encoding::percent_decode_str;

use crate::Kind;
use crate::head::Head;

/// A request to the service.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which one.
    pub kind: Kind,
    /// The blob's name.
    pub name: String,
    /// The query, decoded.
    pub query: HashMap<String, String>,
    /// By their names in lower case.
    pub headers: HashMap<String, String>,
    /// The body; empty where it was not read.
    pub body: Vec<u8>,
}

pub(crate) fn read_head(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Request>> {
    let Some(Head { line, headers }) = Head::read(reader)? else {
        return Ok(None);
    };
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let decode = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
    // In a query a plus sign is a space, as the service has it.
    let value = |text: &str| decode(&text.replace('+', " "));
    let query: HashMap<_, _> = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, text)| (key.to_owned(), value(text)))
        .collect();
    let name = path.strip_prefix("/account/backups").unwrap();
    let name = decode(name.trim_start_matches('/'));
    let comp = query.get("comp").map(String::as_str);
    let kind = match (method, comp) {
        ("PUT", Some("block")) if query["blockid"].ends_with("////") => Kind::Probe,
        ("PUT", Some("block")) => Kind::PutBlock,
        ("PUT", Some("blocklist")) => Kind::PutList,
        ("GET", Some("list")) => Kind::List,
        ("POST", Some("batch")) => Kind::Batch,
        ("GET", None) => Kind::Get,
        ("HEAD", None) => Kind::Head,
        ("PUT", None) => Kind::PutBlob,
        ("DELETE", None) => Kind::Delete,
        _ => unreachable!("{method} {comp:?}"),
    };
    Ok(Some(Request {
        kind,
        name,
        query,
        headers,
        body: Vec::new(),
    }))
}
