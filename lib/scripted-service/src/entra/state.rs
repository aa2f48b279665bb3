//! What an endpoint was asked, and what it is told to do.

use std::collections::HashMap;
use std::time::Duration;

/// What it does wrong.
#[derive(Debug, Clone)]
pub enum EntraFault {
    /// Refuses as Entra does: status, `error`, the number of `AADSTS…`.
    Refuse(u16, &'static str, u64),
    /// Answers with this status and no body, and asks to wait for so many seconds.
    Busy(u16, u64),
    /// Answers after this long.
    Slow(Duration),
    /// Closes without an answer.
    Cut,
    /// Never answers.
    Stall,
    /// Answers 200 with this instead.
    Say(&'static str),
}

/// A request for a token.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    /// `POST /tenant/oauth2/v2.0/token`
    pub line: String,
    /// By their names in lower case.
    pub headers: HashMap<String, String>,
    /// The fields of the form, or of the query, decoded.
    pub fields: HashMap<String, String>,
    /// The name that the client asked for in TLS.
    pub sni: Option<String>,
}

/// What it was asked and told.
#[derive(Debug)]
pub struct EntraState {
    /// All requests.
    pub seen: Vec<TokenRequest>,
    /// All tokens that it gave out.
    pub issued: Vec<String>,
    /// How long a token lasts, as the answer says, in seconds.
    pub lasts: u64,
    /// When the client had better ask again (`refresh_in`), in seconds; the answer need not say so.
    pub refresh: Option<u64>,
    /// How long it lasts as it says itself, if that is something else: what a service goes by.
    pub really_lasts: Option<i64>,
    /// The only token of a service account that it takes; none if it takes any.
    pub assertion: Option<String>,
    /// Which request meets which fault: its number (from 1; 0 for each).
    pub(super) faults: Vec<(usize, EntraFault)>,
    pub(super) stopped: bool,
}
