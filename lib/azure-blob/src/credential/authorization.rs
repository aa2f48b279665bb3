//! What a request carries so that it is let in.

use super::identity::Bearer;
use super::secret::Secret;
use super::token::Token;

/// A SAS token in the query, or a bearer token in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Authorization {
    Sas(Token),
    Bearer(Bearer),
}

/// A request's target and its header `Authorization`, which hold the credential.
#[derive(Debug)]
pub(crate) struct Signed {
    target: Secret,
    header: Option<Secret>,
}

impl Authorization {
    /// Adds itself to a request, or to a part of a batch, with this path and query (without `?`, perhaps empty).
    pub(crate) fn sign(&self, path: &str, query: &str) -> Signed {
        let (last, header) = match self {
            Self::Sas(token) => (token.query(), None),
            Self::Bearer(bearer) => ("", Some(bearer.header())),
        };
        let queries = [query, last].into_iter().filter(|text| !text.is_empty());
        let query = queries.collect::<Vec<_>>().join("&");
        let target = match query.is_empty() {
            true => path.to_owned(),
            false => format!("{path}?{query}"),
        };
        Signed {
            target: Secret::new(target),
            header,
        }
    }
}

impl Signed {
    /// Path and query. A secret.
    pub(crate) fn target(&self) -> &str {
        self.target.expose()
    }

    /// The value of `Authorization`, if there is one. A secret.
    pub(crate) fn header(&self) -> Option<&str> {
        self.header.as_ref().map(Secret::expose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sas_is_in_the_query_and_a_bearer_in_the_header() {
        let sas = Authorization::Sas(Token::parse("sp=r&sig=abc").unwrap());
        let signed = sas.sign("/a/b", "");
        assert_eq!(
            (signed.target(), signed.header()),
            ("/a/b?sp=r&sig=abc", None)
        );
        assert_eq!(sas.sign("/a", "comp=x").target(), "/a?comp=x&sp=r&sig=abc");
        let bearer = Authorization::Bearer(Bearer::of("t0p.s3cret", 3600));
        let signed = bearer.sign("/a/b", "");
        assert_eq!(signed.target(), "/a/b");
        assert_eq!(signed.header(), Some("Bearer t0p.s3cret"));
        assert_eq!(bearer.sign("/a", "comp=x").target(), "/a?comp=x");
        let shown = format!("{bearer:?} {signed:?} {sas:?} {:?}", sas.sign("/a", ""));
        assert!(
            !shown.contains("s3cret") && !shown.contains("abc"),
            "{shown}"
        );
    }
}
