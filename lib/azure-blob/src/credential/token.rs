//! The SAS token ("Create a service SAS"): what it says of itself.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use percent_encoding::percent_decode_str;

use job::secret;

use super::permission::Permission;
use super::secret::Secret;
use crate::transport::moment;
use crate::{ContainerUrl, Error, ErrorKind};

/// A SAS token. Neither `Debug` nor any error shows its signature.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    parts: Arc<Parts>,
}

#[derive(PartialEq, Eq)]
struct Parts {
    query: Secret,
    fields: Fields,
}

/// Why a token is not valid at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotValid {
    /// `expired at 2026-01-01 00:00:00 UTC`
    pub(crate) said: String,
    pub(crate) remedy: &'static str,
}

/// What a token says of itself, its signature apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Fields {
    /// `se`, or `ske` of a user delegation key if that is earlier.
    expires: Option<DateTime<Utc>>,
    /// `st`, or `skt` of a user delegation key if that is later.
    starts: Option<DateTime<Utc>>,
    /// `sp`
    permissions: Option<String>,
    /// `sr`: `c`, `b`, `d`, …
    resource: Option<String>,
    /// `spr`: `https` or `https,http`
    protocols: Option<String>,
    /// `sip`
    addresses: Option<String>,
    /// `si`: a stored access policy says what the token itself does not.
    policy: Option<String>,
    /// `ss` and `srt` of an account SAS.
    services: Option<String>,
    types: Option<String>,
}

impl Token {
    /// Reads a token: a URL's query with or without its `?`, the whole URL, or a connection string. White space around
    /// it is ignored. A `+` stands for itself, not for a space: somebody decoded it on its way here, and it is
    /// encoded again.
    ///
    /// # Errors
    /// What is missing; never the token itself.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim_start_matches('\u{feff}').trim();
        secret::learn_token(text);
        let text = text.trim_matches(['"', '\'']).trim();
        // A connection string: the portal shows one beside the token.
        let text = match text.split_once("SharedAccessSignature=") {
            Some((_, rest)) => rest.split(';').next().unwrap_or_default(),
            None => text,
        };
        let query = text.split_once('?').map_or(text, |(_, query)| query);
        let query = &query.replace('+', "%2B");
        if query.is_empty() {
            return Err(unusable("is empty"));
        }
        let proper = |c: u8| c.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&c);
        if !query.bytes().all(proper) {
            return Err(
                unusable("has white space or another character that a token has not")
                    .hint("was it cut or wrapped when it was copied?"),
            );
        }
        let mut fields = Fields::default();
        let mut signature = String::new();
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            match key {
                "sig" => signature = value,
                _ => fields.set(key, value)?,
            }
        }
        if signature.is_empty() {
            return Err(unusable("has no signature (sig)"));
        }
        Ok(Self {
            parts: Arc::new(Parts {
                query: Secret::new(query.as_str()),
                fields,
            }),
        })
    }

    /// When it expires; none if it does not say (a stored access policy does).
    pub fn expires(&self) -> Option<DateTime<Utc>> {
        self.parts.fields.expires
    }

    /// Whether the token itself allows all of `needs` in `container`. Only the service, whose clock may differ, knows
    /// whether it is valid now.
    ///
    /// # Errors
    /// What it lacks.
    pub fn check(&self, needs: &[Permission], container: &ContainerUrl) -> Result<(), Error> {
        let fields = &self.parts.fields;
        if fields.expires.is_none() && fields.policy.is_none() {
            return Err(unusable("does not say when it expires (se)"));
        }
        self.check_scope(needs, container)?;
        for need in needs {
            if let Some(missing) = self.lacks(*need) {
                return Err(
                    Error::new(ErrorKind::Token, format!("the SAS token's {missing}")).hint(
                        format!("make a token with the permission {}", need.letters().1),
                    ),
                );
            }
        }
        Ok(())
    }

    /// Why it is not valid at `now` and what to do about it; none if it says nothing against it.
    pub(crate) fn not_valid_at(&self, now: DateTime<Utc>) -> Option<NotValid> {
        let fields = &self.parts.fields;
        if let Some(expires) = fields.expires.filter(|expires| *expires <= now) {
            return Some(NotValid {
                said: format!("expired at {}", moment(expires)),
                remedy: "make a new one and put it where this one came from",
            });
        }
        let starts = fields.starts.filter(|starts| *starts > now)?;
        Some(NotValid {
            said: format!("is not valid before {}", moment(starts)),
            remedy: "make one with an earlier start, or without a start",
        })
    }

    fn check_scope(&self, needs: &[Permission], container: &ContainerUrl) -> Result<(), Error> {
        let fields = &self.parts.fields;
        if let Some(protocols) = &fields.protocols
            && !container.is_https()
            && !protocols.split(',').any(|protocol| protocol == "http")
        {
            return Err(Error::new(
                ErrorKind::Token,
                format!("the SAS token demands https, the URL is http: {container}"),
            )
            .hint("write https://, or make the token without --https-only"));
        }
        let wrong = |what: String| {
            Error::new(
                ErrorKind::Token,
                format!(
                    "the SAS token is {what}, not for the container '{}'",
                    container.container()
                ),
            )
            .hint("make a token with az storage container generate-sas")
        };
        match fields.resource.as_deref() {
            // A token for one blob can read that blob. Which one that is, it does not say.
            Some("b" | "bs" | "bv") if needs == [Permission::Read] => {}
            Some(one @ ("b" | "bs" | "bv")) => {
                return Err(wrong(format!("for one blob (sr={one})")));
            }
            Some("f" | "s" | "q") => return Err(wrong("of another service".into())),
            _ => {}
        }
        if let Some(services) = &fields.services
            && !services.contains('b')
        {
            return Err(wrong(format!("for other services (ss={services})")));
        }
        if let Some(types) = &fields.types {
            for need in needs {
                let (kind, what) = match need {
                    Permission::List => ('c', "containers"),
                    _ => ('o', "blobs"),
                };
                if !types.contains(kind) {
                    return Err(wrong(format!("not for {what} (srt={types})")));
                }
            }
        }
        Ok(())
    }

    /// What it lacks for `need`, if anything: `sp=r lacks 'c' or 'w'`.
    pub(crate) fn lacks(&self, need: Permission) -> Option<String> {
        let (any, words) = need.letters();
        match (&self.parts.fields.permissions, &self.parts.fields.policy) {
            (Some(permissions), _) if permissions.contains(|c| any.contains(c)) => None,
            // The policy may allow what the token itself does not.
            (_, Some(_)) => None,
            (Some(permissions), None) => Some(format!("sp={permissions} lacks {words}")),
            (None, None) => Some(format!("permissions (sp) are missing: it lacks {words}")),
        }
    }

    /// Whether it says itself that it has the permission.
    pub(crate) fn has(&self, permission: char) -> bool {
        let permissions = self.parts.fields.permissions.as_deref();
        permissions.is_some_and(|all| all.contains(permission))
    }

    /// The addresses from which it may be used (`sip`).
    pub(crate) fn addresses(&self) -> Option<&str> {
        self.parts.fields.addresses.as_deref()
    }

    /// The stored access policy that it names (`si`).
    pub(crate) fn policy(&self) -> Option<&str> {
        self.parts.fields.policy.as_deref()
    }

    /// The query that a request carries. A secret.
    pub(crate) fn query(&self) -> &str {
        self.parts.query.expose()
    }
}

impl Fields {
    fn set(&mut self, key: &str, value: String) -> Result<(), Error> {
        match key {
            "se" | "ske" => {
                let moment = read_moment(key, &value)?;
                self.expires = Some(self.expires.map_or(moment, |other| other.min(moment)));
            }
            "st" | "skt" => {
                let moment = read_moment(key, &value)?;
                self.starts = Some(self.starts.map_or(moment, |other| other.max(moment)));
            }
            _ => {
                if let Some(field) = self.text(key) {
                    *field = Some(without_signature(key, value)?);
                }
            }
        }
        Ok(())
    }

    /// The field of this key, if it is kept as a text.
    fn text(&mut self, key: &str) -> Option<&mut Option<String>> {
        Some(match key {
            "sp" => &mut self.permissions,
            "sr" => &mut self.resource,
            "spr" => &mut self.protocols,
            "sip" => &mut self.addresses,
            "si" => &mut self.policy,
            "ss" => &mut self.services,
            "srt" => &mut self.types,
            _ => return None,
        })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&secret::hidden(&format!("{:?}", self.parts.fields)))
    }
}

/// These values are shown, so none may have the signature at its end. Other `=` and `&` are its own: a stored access
/// policy may be called `MTIz=` ("Set Container ACL").
fn without_signature(key: &str, value: String) -> Result<String, Error> {
    let lower = value.to_ascii_lowercase();
    match lower.split_once("sig=") {
        Some((_, signature)) if !signature.is_empty() => {
            Err(unusable(&format!("has the signature (sig) in {key}"))
                .hint("was an & lost, or encoded, when it was copied?"))
        }
        _ => Ok(value),
    }
}

fn unusable(what: &str) -> Error {
    Error::new(ErrorKind::Token, format!("the SAS token {what}"))
}

/// The forms of ISO 8601 that a SAS takes ("Formatting DateTime values"): a date, or date and time to the
/// minute, the second, or parts of it, in UTC or with an offset.
fn read_moment(key: &str, value: &str) -> Result<DateTime<Utc>, Error> {
    let forms = ["%Y-%m-%dT%H:%M%#z", "%Y-%m-%dT%H:%M:%S%.f%#z"];
    let time = forms
        .iter()
        .find_map(|form| DateTime::parse_from_str(value, form).ok());
    let date = || {
        let date = NaiveDate::parse_from_str(value, "%Y-%m-%d").ok()?;
        Some(date.and_time(NaiveTime::MIN).and_utc())
    };
    match time.map(|time| time.to_utc()).or_else(date) {
        Some(time) => Ok(time),
        None => Err(unusable(&format!("has no proper time in {key}"))),
    }
}

#[cfg(test)]
mod tests;
