//! The SAS token ("Create a service SAS"): what it says of itself.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use percent_encoding::percent_decode_str;

use job::secret;

use super::permission::Permission;
use super::secret::Secret;
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
            "sp" => self.permissions = Some(value),
            "sr" => self.resource = Some(value),
            "spr" => self.protocols = Some(value),
            "sip" => self.addresses = Some(value),
            "si" => self.policy = Some(value),
            "ss" => self.services = Some(value),
            "srt" => self.types = Some(value),
            _ => {}
        }
        Ok(())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.fields.fmt(f)
    }
}

fn unusable(what: &str) -> Error {
    Error::new(ErrorKind::Token, format!("the SAS token {what}"))
}

pub(crate) fn moment(moment: DateTime<Utc>) -> impl fmt::Display {
    moment.format("%Y-%m-%d %H:%M:%S UTC")
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: &str =
        "sv=2023-11-03&st=2025-01-01&se=2026-01-01T00%3A00Z&sr=c&sp=cw&spr=https&sig=ab%2Bcd%3D";

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn container() -> ContainerUrl {
        let (url, _) = ContainerUrl::parse("https://acc.blob.core.windows.net/backups").unwrap();
        url
    }

    /// What it lacks, or why it is not valid at `now`.
    fn check(token: &str, needs: &[Permission], now: &str) -> Result<(), String> {
        let token = Token::parse(token).unwrap();
        let checked = token.check(needs, &container());
        checked.map_err(|error| error.to_string())?;
        token
            .not_valid_at(at(now))
            .map_or(Ok(()), |it| Err(it.said))
    }

    #[test]
    fn what_surrounds_a_token_does_not_matter() {
        let plain = Token::parse(PLAIN).unwrap();
        for text in [
            format!("?{PLAIN}"),
            format!(" {PLAIN}\n"),
            format!("\"{PLAIN}\"\r\n"),
            format!("https://acc.blob.core.windows.net/backups?{PLAIN}"),
            format!("SharedAccessSignature={PLAIN}"),
            format!(
                "BlobEndpoint=https://acc.blob.core.windows.net;SharedAccessSignature=?{PLAIN};"
            ),
        ] {
            assert_eq!(Token::parse(&text).unwrap(), plain);
        }
        assert_eq!(plain.expires(), Some(at("2026-01-01T00:00:00Z")));
    }

    #[test]
    fn a_plus_is_a_plus() {
        let token = "se=2026-01-01T01:00+01:00&sr=c&sp=cw&sig=a1B2/c3+D4e5+F6=";
        let token = Token::parse(token).unwrap();
        assert_eq!(
            token.query(),
            "se=2026-01-01T01:00%2B01:00&sr=c&sp=cw&sig=a1B2/c3%2BD4e5%2BF6="
        );
        assert_eq!(token.expires(), Some(at("2026-01-01T00:00:00Z")));
        // As it came, and as it is sent.
        let shown = secret::hidden("it has a1B2/c3+D4e5+F6= and a1B2/c3%2BD4e5%2BF6= in it");
        assert!(!shown.contains("D4e5"), "{shown}");
    }

    #[test]
    fn the_signature_is_never_shown() {
        let token = Token::parse(PLAIN).unwrap();
        let shown = format!("{token:?} {:?}", token.clone());
        assert!(!shown.contains("ab") || !shown.contains("cd"), "{shown}");
        assert!(shown.contains("cw"), "{shown}");
        let text = "GET /x?sig=ab%2Bcd%3D and ab+cd= once more";
        let error = unusable(text).to_string();
        assert_eq!(error, "the SAS token GET /x?sig=*** and *** once more");
    }

    #[test]
    fn what_a_token_lacks_is_said() {
        let now = "2025-06-01T00:00:00Z";
        assert_eq!(
            check(PLAIN, &[Permission::Create, Permission::Overwrite], now),
            Ok(())
        );
        for (token, needs, now, said) in [
            (
                PLAIN.to_owned(),
                Permission::Create,
                "2026-01-01T00:00:00Z",
                "expired at 2026-01-01 00:00:00 UTC",
            ),
            (
                PLAIN.to_owned(),
                Permission::Create,
                "2024-12-31T23:59:59Z",
                "not valid before 2025-01-01",
            ),
            (PLAIN.to_owned(), Permission::Read, now, "sp=cw lacks 'r'"),
            (PLAIN.to_owned(), Permission::List, now, "sp=cw lacks 'l'"),
            (
                PLAIN.replace("sp=cw", "sp=rl"),
                Permission::Create,
                now,
                "sp=rl lacks 'c' or 'w'",
            ),
            (
                PLAIN.replace("sp=cw", "sp=c"),
                Permission::Overwrite,
                now,
                "sp=c lacks 'w'",
            ),
            (
                PLAIN.replace("&sp=cw", ""),
                Permission::Create,
                now,
                "permissions (sp) are missing",
            ),
            (
                PLAIN.replace("sr=c", "sr=b"),
                Permission::Create,
                now,
                "for one blob (sr=b), not for the container 'backups'",
            ),
            (
                PLAIN.replace("sr=c", "ss=f&srt=o"),
                Permission::Create,
                now,
                "for other services",
            ),
            (
                PLAIN.replace("sr=c", "ss=b&srt=s"),
                Permission::Create,
                now,
                "not for blobs",
            ),
            (
                PLAIN.replace("se=2026-01-01T00%3A00Z&", ""),
                Permission::Create,
                now,
                "does not say when it expires",
            ),
            (
                format!("{PLAIN}&ske=2025-05-01T00:00:00Z"),
                Permission::Create,
                now,
                "expired at 2025-05-01",
            ),
        ] {
            let error = check(&token, &[needs], now).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        assert_eq!(
            check(
                &PLAIN.replace("sr=c", "sr=b").replace("cw", "r"),
                &[Permission::Read],
                now
            ),
            Ok(())
        );
    }

    #[test]
    fn times_are_read_in_all_their_forms() {
        for (se, expires) in [
            ("2026-01-01", "2026-01-01T00:00:00Z"),
            ("2026-01-01T10:30Z", "2026-01-01T10:30:00Z"),
            ("2026-01-01T10:30:15Z", "2026-01-01T10:30:15Z"),
            ("2026-01-01T10:30:15.5Z", "2026-01-01T10:30:15.5Z"),
            ("2026-01-01T10%3A30%3A15%2B02%3A00", "2026-01-01T08:30:15Z"),
            ("2026-01-01T10:30-05:00", "2026-01-01T15:30:00Z"),
        ] {
            let token = Token::parse(&format!("se={se}&sig=x")).unwrap();
            assert_eq!(token.expires(), Some(at(expires)), "{se}");
        }
    }

    #[test]
    fn an_account_s_token_is_for_all_that_is_needed() {
        let now = "2025-06-01T00:00:00Z";
        let of = |types: &str| PLAIN.replace("sr=c&sp=cw", &format!("ss=b&srt={types}&sp=rdl"));
        let needs = [Permission::List, Permission::Delete];
        assert_eq!(check(&of("co"), &needs, now), Ok(()));
        assert_eq!(check(&of("c"), &needs[..1], now), Ok(()));
        let lacks = |types: &str| check(&of(types), &needs, now).unwrap_err();
        assert!(lacks("c").contains("not for blobs"), "{}", lacks("c"));
        assert!(lacks("o").contains("not for containers"), "{}", lacks("o"));
    }

    #[test]
    fn https_may_be_demanded() {
        let (url, _) = ContainerUrl::parse("http://127.0.0.1:10000/acc/backups").unwrap();
        let error = Token::parse(PLAIN).unwrap().check(&[], &url).unwrap_err();
        assert!(error.to_string().contains("demands https"), "{error}");
        let both = PLAIN.replace("spr=https", "spr=https,http");
        assert_eq!(Token::parse(&both).unwrap().check(&[], &url), Ok(()));
    }

    #[test]
    fn a_policy_may_say_the_rest() {
        let now = "2025-06-01T00:00:00Z";
        assert_eq!(
            check(
                "sv=1&sr=c&si=nightly&sig=x",
                &[Permission::Create, Permission::List],
                now
            ),
            Ok(())
        );
        assert_eq!(Token::parse("si=nightly&sig=x").unwrap().expires(), None);
    }

    #[test]
    fn what_is_no_token_is_said() {
        for (text, said) in [
            ("", "is empty"),
            ("?", "is empty"),
            ("sv=1&se=2026-01-01", "no signature"),
            ("sv=1&se=2026-01-01&sig=", "no signature"),
            ("sv=1&se=20\n26&sig=hidden", "white space"),
            ("se=soon&sig=hidden", "no proper time in se"),
        ] {
            let error = Token::parse(text).unwrap_err();
            assert!(error.to_string().contains(said), "{text}: {error}");
            assert!(!error.to_string().contains("hidden"));
        }
    }

    proptest! {
        #[test]
        fn a_token_allows_what_it_says(
            permissions in "[acdfilmopqrstuwxy]{0,8}",
            starts in 0..4_000_000_000_i64,
            valid in 1..400_000_000_i64,
            now in 0..4_400_000_000_i64,
            which in 0..7_usize,
        ) {
            let moment = |seconds: i64| DateTime::from_timestamp(seconds, 0).unwrap();
            let written = |seconds| moment(seconds).format("%Y-%m-%dT%H%%3A%M%%3A%SZ");
            let expires = starts + valid;
            let token = format!(
                "sv=1&st={}&se={}&sr=c&sp={permissions}&sig=x",
                written(starts),
                written(expires),
            );
            let token = Token::parse(&token).unwrap();
            prop_assert_eq!(token.expires(), Some(moment(expires)));
            let (need, any) = [
                (Permission::Read, "r"),
                (Permission::List, "l"),
                (Permission::Create, "cw"),
                (Permission::Overwrite, "w"),
                (Permission::Delete, "d"),
                (Permission::Tag, "t"),
                (Permission::Immutability, "i"),
            ][which];
            let allowed = permissions.chars().any(|permission| any.contains(permission));
            let checked = token.check(&[need], &container());
            prop_assert_eq!(checked.is_ok(), allowed, "{:?}", checked);
            let timely = token.not_valid_at(moment(now)).is_none();
            prop_assert_eq!(timely, (starts..expires).contains(&now));
        }

        #[test]
        fn no_text_breaks_the_parser_or_shows_its_signature(
            head in "[a-z&=%?0-9TZ:-]{0,40}",
            sig in "[A-Za-z0-9]{20}",
        ) {
            match Token::parse(&format!("{head}&sig={sig}")) {
                Ok(token) => {
                    let shown = format!("{token:?}");
                    prop_assert!(!shown.contains(&sig));
                }
                Err(error) => {
                    let shown = format!("{error:?}");
                    prop_assert!(!shown.contains(&sig));
                }
            }
        }
    }
}
