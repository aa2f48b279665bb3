//! Signs shared access signatures with the emulator's published account key.
//! <https://learn.microsoft.com/en-us/rest/api/storageservices/create-service-sas>

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The emulator's account.
pub const ACCOUNT: &str = "devstoreaccount1";

/// Its key, the same on every machine, published by Microsoft.
pub const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The newest version that Azurite and the service both take for signing.
const VERSION: &str = "2022-11-02";

/// All that a backup job may ever need in a container: read, add, create, write, delete, list.
pub const ALL: &str = "racwdl";

/// A token for a container that is about to be signed.
#[derive(Debug, Clone)]
pub struct Sas {
    container: String,
    permissions: String,
    starts: Option<DateTime<Utc>>,
    expires: DateTime<Utc>,
    protocol: Option<&'static str>,
    key: String,
}

impl Sas {
    /// One for a container: everything is allowed, for an hour.
    pub fn new(container: &str) -> Self {
        Self {
            container: container.into(),
            permissions: ALL.into(),
            starts: None,
            expires: Utc::now() + TimeDelta::hours(1),
            protocol: None,
            key: KEY.into(),
        }
    }

    /// Allows these only; in the service's order (`racwdl`).
    #[must_use]
    pub fn permissions(mut self, permissions: &str) -> Self {
        self.permissions = permissions.into();
        self
    }

    /// Valid from then on.
    #[must_use]
    pub fn starts(mut self, starts: DateTime<Utc>) -> Self {
        self.starts = Some(starts);
        self
    }

    /// Valid until then.
    #[must_use]
    pub fn expires(mut self, expires: DateTime<Utc>) -> Self {
        self.expires = expires;
        self
    }

    /// For this protocol only: `https`, or `https,http`.
    #[must_use]
    pub fn protocol(mut self, protocol: &'static str) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// Signed with a key that is not the account's.
    #[must_use]
    pub fn badly_signed(mut self) -> Self {
        self.key = BASE64.encode([7; 64]);
        self
    }

    /// The token, without a `?`.
    pub fn sign(&self) -> String {
        let starts = self.starts.map(second).unwrap_or_default();
        let expires = second(self.expires);
        let protocol = self.protocol.unwrap_or_default();
        let resource = format!("/blob/{ACCOUNT}/{}", self.container);
        // Version 2020-12-06 and later: identifier and IP before the protocol, then the version, the
        // kind of resource, and snapshot, encryption scope and five response headers, all empty.
        let text = [
            self.permissions.as_str(),
            &starts,
            &expires,
            &resource,
            "",
            "",
            protocol,
            VERSION,
            "c",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
        ]
        .join("\n");
        let mut token = format!("sv={VERSION}&sr=c&sp={}", self.permissions);
        if !starts.is_empty() {
            token += &format!("&st={}", escape(&starts));
        }
        token += &format!("&se={}", escape(&expires));
        if !protocol.is_empty() {
            token += &format!("&spr={}", escape(protocol));
        }
        token + "&sig=" + &escape(&sign(&self.key, &text))
    }
}

/// A token for the account: only it may make a container.
pub(crate) fn for_account() -> String {
    let expires = second(Utc::now() + TimeDelta::hours(6));
    let text = [
        ACCOUNT, "rwdlac", "b", "sco", "", &expires, "", "", VERSION, "", "",
    ]
    .join("\n");
    format!(
        "sv={VERSION}&ss=b&srt=sco&sp=rwdlac&se={}&sig={}",
        escape(&expires),
        escape(&sign(KEY, &text))
    )
}

/// The signature in a token, as it is written there and as it was before: neither may be shown.
pub fn signatures(token: &str) -> [String; 2] {
    let escaped = token.split("sig=").nth(1).unwrap_or_default();
    let escaped = escaped.split('&').next().unwrap_or_default();
    let plain = escaped
        .replace("%2B", "+")
        .replace("%2F", "/")
        .replace("%3D", "=");
    [escaped.into(), plain]
}

fn sign(key: &str, text: &str) -> String {
    let key = BASE64.decode(key).expect("a key");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key of any length");
    mac.update(text.as_bytes());
    BASE64.encode(mac.finalize().into_bytes())
}

fn second(moment: DateTime<Utc>) -> String {
    let moment = moment.trunc_subsecs(0);
    moment.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn escape(text: &str) -> String {
    text.replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D")
        .replace(':', "%3A")
        .replace(',', "%2C")
}
