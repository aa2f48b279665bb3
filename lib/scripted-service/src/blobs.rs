//! How the service answers when it does nothing wrong.

use std::collections::{BTreeMap, HashMap};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use crc_fast::CrcAlgorithm;
use percent_encoding::percent_decode_str;

use crate::answer::{Answer, done, refused};
use crate::{Bearers, Fault, Kind, Request};

/// A blob.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its content.
    pub bytes: Vec<u8>,
    /// The IDs of its blocks.
    pub ids: Vec<String>,
    /// Quoted.
    pub etag: String,
    /// The headers of its Put Block List, by their names in lower case.
    pub headers: HashMap<String, String>,
}

/// What the service holds, and what it was told to do.
#[derive(Debug, Default)]
pub struct ServiceState {
    /// By name.
    pub blobs: BTreeMap<String, Stored>,
    /// By name and ID.
    pub blocks: HashMap<(String, String), Vec<u8>>,
    /// All requests, without their bodies.
    pub seen: Vec<Request>,
    /// Which request meets which fault: its kind, and its number among those of that kind (from 1; 0 for each).
    pub(crate) faults: Vec<(Kind, usize, Fault)>,
    pub(crate) counts: HashMap<Kind, usize>,
    /// The only signature that it accepts; none if it accepts any.
    pub signature: Option<String>,
    /// The bearer tokens that it accepts, and no SAS token then, as an account does that allows no shared keys; none if it
    /// does not look.
    pub bearers: Option<Bearers>,
    /// What an identity may do: `read`, `write`, `delete`, `batch`; none if it may do everything.
    pub roles: Option<Vec<&'static str>>,
    /// How far its clock is ahead of this machine's.
    pub ahead: TimeDelta,
    /// Blobs on a page of a listing.
    pub page_size: usize,
    /// If set, its listing never ends: each page has this many blobs with names of backups, and another marker.
    pub endless: Option<usize>,
    /// It takes no Blob Batch.
    pub no_batches: bool,
    /// Blobs that are not deleted: status and error code.
    pub retained: HashMap<String, (u16, &'static str)>,
    /// Connections that were made.
    pub connections: usize,
    etags: usize,
    pub(crate) stopped: bool,
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

impl Stored {
    fn is_archived(&self) -> bool {
        self.headers
            .get("x-ms-access-tier")
            .is_some_and(|tier| tier == "Archive")
    }
}

impl ServiceState {
    /// Nothing, on small pages.
    pub(crate) fn new() -> Self {
        Self {
            page_size: 3,
            ..Self::default()
        }
    }

    pub(crate) fn next_fault(&mut self, kind: Kind) -> Option<Fault> {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        let mut faults = self.faults.iter();
        let fault = faults.find(|(of, nth, _)| *of == kind && (*nth == 0 || nth == count));
        fault.map(|(_, _, fault)| fault.clone())
    }

    /// Puts a blob there.
    pub fn store(
        &mut self,
        name: &str,
        bytes: Vec<u8>,
        ids: Vec<String>,
        headers: HashMap<String, String>,
    ) {
        self.etags += 1;
        let etag = format!("\"0x{}\"", self.etags);
        self.blobs.insert(
            name.to_owned(),
            Stored {
                bytes,
                ids,
                etag,
                headers,
            },
        );
    }

    pub(crate) fn answer(&mut self, request: &Request) -> Answer {
        let signature = request.query.get("sig");
        if self.signature.is_some() && self.signature.as_ref() != signature {
            return refused(403, "AuthenticationFailed");
        }
        if !self.is_valid(request) {
            return refused(403, "AuthenticationFailed");
        }
        let header = request.headers.get("authorization").map(String::as_str);
        if let Err(answer) = self.let_in(header, signature.is_some(), request.kind) {
            return answer;
        }
        match request.kind {
            Kind::Probe | Kind::PutBlock => self.put_block(request),
            Kind::PutList => self.put_list(request),
            Kind::PutBlob => self.put_blob(request),
            Kind::Head | Kind::Get => self.get(request),
            Kind::List => self.list(request),
            Kind::Delete => self.delete(&request.name),
            Kind::Batch => self.batch(request),
        }
    }

    /// As an account does that allows no shared keys: by its bearer token, and by what the identity's roles allow.
    fn let_in(&self, header: Option<&str>, has_sas: bool, kind: Kind) -> Result<(), Answer> {
        let Some(bearers) = &self.bearers else {
            return Ok(());
        };
        if has_sas {
            return Err(refused(403, "KeyBasedAuthenticationNotPermitted"));
        }
        let bearer = header.and_then(|header| header.strip_prefix("Bearer "));
        if !bearer.is_some_and(|bearer| bearers.contain(bearer)) {
            let mut answer = refused(401, "InvalidAuthenticationInfo");
            let challenge = "Bearer authorization_uri=https://login.microsoftonline.com/tenant/oauth2/authorize resource_id=https://storage.azure.com";
            let challenge = ("www-authenticate".to_owned(), challenge.to_owned());
            answer.headers.push(challenge);
            return Err(answer);
        }
        let action = match kind {
            Kind::Probe | Kind::PutBlob | Kind::PutBlock | Kind::PutList => "write",
            Kind::Head | Kind::Get | Kind::List => "read",
            Kind::Delete => "delete",
            Kind::Batch => "batch",
        };
        match &self.roles {
            Some(roles) if !roles.contains(&action) => {
                Err(refused(403, "AuthorizationPermissionMismatch"))
            }
            _ => Ok(()),
        }
    }

    /// By its own clock.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        Utc::now() + self.ahead
    }

    /// Whether the token is valid now: `se` and `st`.
    fn is_valid(&self, request: &Request) -> bool {
        let moment = |key: &str| {
            let text = request.query.get(key)?;
            let date = || text.parse::<NaiveDate>().ok();
            let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
            time.ok()
                .or_else(|| Some(date()?.and_time(NaiveTime::MIN).and_utc()))
        };
        let now = self.now();
        moment("se").is_none_or(|expires| now < expires)
            && moment("st").is_none_or(|starts| starts <= now)
    }

    fn put_block(&mut self, request: &Request) -> Answer {
        if !arrived_whole(request) {
            return refused(400, "Crc64Mismatch");
        }
        let id = request.query["blockid"].clone();
        self.blocks
            .insert((request.name.clone(), id), request.body.clone());
        done(201)
    }

    fn put_list(&mut self, request: &Request) -> Answer {
        if !arrived_whole(request) {
            return refused(400, "Crc64Mismatch");
        }
        let there = self.blobs.get(&request.name);
        if request.headers.contains_key("if-none-match") && there.is_some() {
            return refused(409, "BlobAlreadyExists");
        }
        let body = String::from_utf8(request.body.clone()).unwrap();
        let of = |which: &str| -> Vec<String> {
            let open = format!("<{which}>");
            body.split(&open)
                .skip(1)
                .map(|rest| rest.split('<').next().unwrap().to_owned())
                .collect()
        };
        let committed = of("Committed");
        if !committed.is_empty() {
            return match there.is_some_and(|there| there.ids == committed) {
                true => self.created(&request.name),
                false => refused(400, "InvalidBlockList"),
            };
        }
        let ids = of("Uncommitted");
        let mut bytes = Vec::new();
        for id in &ids {
            match self.blocks.get(&(request.name.clone(), id.clone())) {
                Some(block) => bytes.extend(block),
                None => return refused(400, "InvalidBlockList"),
            }
        }
        self.blocks.retain(|(name, _), _| *name != request.name);
        self.store(&request.name, bytes, ids, request.headers.clone());
        self.created(&request.name)
    }

    fn put_blob(&mut self, request: &Request) -> Answer {
        if request.headers.get("x-ms-blob-type").map(String::as_str) != Some("BlockBlob") {
            return refused(400, "MissingRequiredHeader");
        }
        if !arrived_whole(request) {
            return refused(400, "Crc64Mismatch");
        }
        let there = self.blobs.contains_key(&request.name);
        if request.headers.contains_key("if-none-match") && there {
            return refused(409, "BlobAlreadyExists");
        }
        let (bytes, headers) = (request.body.clone(), request.headers.clone());
        self.store(&request.name, bytes, Vec::new(), headers);
        self.created(&request.name)
    }

    fn created(&self, name: &str) -> Answer {
        let mut answer = done(201);
        answer
            .headers
            .push(("etag".into(), self.blobs[name].etag.clone()));
        answer
    }

    fn get(&self, request: &Request) -> Answer {
        let Some(blob) = self.blobs.get(&request.name) else {
            return refused(404, "BlobNotFound");
        };
        if request
            .headers
            .get("if-match")
            .is_some_and(|etag| *etag != blob.etag)
        {
            return refused(412, "ConditionNotMet");
        }
        let mut headers = vec![("etag".to_owned(), blob.etag.clone())];
        for name in [
            "x-ms-meta-sha256",
            "x-ms-meta-raw_sha256",
            "x-ms-access-tier",
        ] {
            if let Some(value) = blob.headers.get(name) {
                headers.push((name.to_owned(), value.clone()));
            }
        }
        if request.kind == Kind::Get && blob.is_archived() {
            return refused(409, "BlobArchived");
        }
        if request.kind == Kind::Head {
            headers.push(("content-length".to_owned(), blob.bytes.len().to_string()));
            return Answer {
                status: 200,
                headers,
                body: Vec::new(),
            };
        }
        let Some(range) = request.headers.get("range") else {
            return Answer {
                status: 200,
                headers,
                body: blob.bytes.clone(),
            };
        };
        let range = range.strip_prefix("bytes=").unwrap();
        let (first, last) = range.split_once('-').unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        let total = blob.bytes.len();
        headers.push((
            "content-range".to_owned(),
            format!("bytes {first}-{last}/{total}"),
        ));
        Answer {
            status: 206,
            headers,
            body: blob.bytes[first..=last].to_vec(),
        }
    }

    /// Page `number` of a listing that never ends.
    fn endless_page(number: u64, blobs: usize) -> Answer {
        let blob = |at: usize| {
            let (hour, minute, second) = (at / 3600 % 24, at / 60 % 60, at % 60);
            let year = 1000 + number % 9000;
            format!(
                "<Blob><Name>postgresql_backup_{year:04}1128_{hour:02}{minute:02}{second:02}.sql.gz</Name><Properties><Etag>1</Etag><Content-Length>1</Content-Length></Properties></Blob>"
            )
        };
        let blobs: String = (0..blobs).map(blob).collect();
        let mut answer = done(200);
        answer.body = format!("<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{}</NextMarker></EnumerationResults>", number + 1).into_bytes();
        answer
    }

    fn list(&self, request: &Request) -> Answer {
        if let Some(blobs) = self.endless {
            let marker = request.query.get("marker");
            let number = marker.map_or(0, |marker| marker.parse().unwrap());
            return Self::endless_page(number, blobs);
        }
        let prefix = request.query.get("prefix").cloned().unwrap_or_default();
        let after = request.query.get("marker").cloned().unwrap_or_default();
        let names = self.blobs.keys().filter(|name| name.starts_with(&prefix));
        let names: Vec<&String> = names.filter(|name| **name > after).collect();
        // What is on a page: a blob, or a "directory", each with the last name that it stands for.
        let mut elements: Vec<(String, &String)> = Vec::new();
        let delimiter = request.query.get("delimiter");
        for name in names {
            let rest = &name[prefix.len()..];
            let directory = delimiter.and_then(|it| Some(&rest[..=rest.find(it.as_str())?]));
            let element = match directory {
                Some(directory) => {
                    let name = escape(&format!("{prefix}{directory}"));
                    format!("<BlobPrefix><Name>{name}</Name></BlobPrefix>")
                }
                None => self.listed(name),
            };
            match elements.last_mut() {
                Some((last, until)) if *last == element => *until = name,
                _ => elements.push((element, name)),
            }
        }
        let page = &elements[..elements.len().min(self.page_size)];
        let blobs: String = page.iter().map(|(element, _)| element.as_str()).collect();
        let marker = match page.last() {
            Some((_, until)) if page.len() < elements.len() => escape(until),
            _ => String::new(),
        };
        let mut answer = done(200);
        answer.body = format!("\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>").into_bytes();
        answer
    }

    fn listed(&self, name: &str) -> String {
        let blob = &self.blobs[name];
        let (etag, size) = (blob.etag.trim_matches('"'), blob.bytes.len());
        let name = escape(name);
        format!(
            "<Blob><Name>{name}</Name><Properties><Etag>{etag}</Etag><Content-Length>{size}</Content-Length></Properties></Blob>"
        )
    }

    fn delete(&mut self, name: &str) -> Answer {
        if let Some((status, code)) = self.retained.get(name) {
            return refused(*status, code);
        }
        match self.blobs.remove(name) {
            Some(_) => done(202),
            None => refused(404, "BlobNotFound"),
        }
    }

    fn batch(&mut self, request: &Request) -> Answer {
        if self.no_batches {
            return refused(400, "UnsupportedOperation");
        }
        let body = String::from_utf8(request.body.clone()).unwrap();
        let mut parts = String::new();
        for part in body.split("\r\n\r\nDELETE ").skip(1) {
            let path = part.split(['?', ' ']).next().unwrap();
            let name = path.strip_prefix("/account/backups/").unwrap();
            let name = percent_decode_str(name).decode_utf8().unwrap().into_owned();
            let header = part
                .lines()
                .find_map(|it| it.strip_prefix("Authorization: "));
            let has_sas = part.lines().next().unwrap().contains("sig=");
            let answer = match self.let_in(header, has_sas, Kind::Delete) {
                Ok(()) => self.delete(&name),
                Err(answer) => answer,
            };
            let id = parts.matches("Content-ID").count();
            let code = answer
                .headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}\r\n"));
            parts += &format!(
                "--part\r\nContent-Type: application/http\r\nContent-ID: {id}\r\n\r\nHTTP/1.1 {} X\r\n{}\r\n{}\r\n",
                answer.status,
                code.collect::<String>(),
                String::from_utf8(answer.body).unwrap()
            );
        }
        let mut answer = done(202);
        answer.headers.push((
            "content-type".into(),
            "multipart/mixed; boundary=part".into(),
        ));
        answer.body = format!("{parts}--part--\r\n").into_bytes();
        answer
    }
}

/// Whether a body is the one whose CRC-64/NVME came with it.
fn arrived_whole(request: &Request) -> bool {
    let crc64 = crc_fast::checksum(CrcAlgorithm::Crc64Nvme, &request.body);
    let crc64 = STANDARD.encode(crc64.to_le_bytes());
    request.headers.get("x-ms-content-crc64") == Some(&crc64)
}
