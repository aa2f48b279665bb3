//! What was given to this program and must not be shown: the signature of a SAS token, passwords, the URL of a ping.
//!
//! Whatever a program says passes through [`hidden`], which looks for what it knows to be secret, however that is
//! encoded or quoted and also where only a part of it is left, and for what the text itself calls a secret.

mod letters;
mod places;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{PoisonError, RwLock};

use pg_text::PgText;

use letters::{Letter, essence, levels};
use places::{SecretKind, places};

/// The variables of the environment that hold our secrets, or name the files that do, or whom these belong to. No child
/// process gets them.
pub const VARIABLES: [&str; 16] = [
    "AZURE_AUTHORITY_HOST",
    "AZURE_CLIENT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_KUBERNETES_CA_DATA",
    "AZURE_KUBERNETES_CA_FILE",
    "AZURE_KUBERNETES_SNI_NAME",
    "AZURE_KUBERNETES_TOKEN_PROXY",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "AZURE_STORAGE_AUTH",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_SAS_TOKEN_FILE",
    "AZURE_TENANT_ID",
    "BACKUP_VERIFY_PING_URL",
    "BACKUP_VERIFY_PING_URL_FILE",
    "BACKUP_VERIFY_PUSH_URL",
    "BACKUP_VERIFY_PUSH_URL_FILE",
];
/// The options whose values are such URLs.
const URL_OPTIONS: [&str; 2] = ["--ping", "--push"];
/// Values that may be words of a message, although somebody chose them as a password. To hide such a word would tell that
/// it is the password.
const WORDS: [&str; 3] = ["PGDATABASE", "PGHOST", "PGUSER"];

const HIDDEN: &str = "***";
/// This many bytes of a key in a row are as good as the key. Fewer do not help to guess the rest.
const PART: usize = 10;
/// What is shorter may be a word, or a number.
const SHORTEST_KEY: usize = 4;
const SHORTEST_PASSWORD: usize = 6;

/// All that is known to be secret.
static KNOWN: RwLock<Option<Known>> = RwLock::new(None);

/// By their essence.
#[derive(Debug, Default)]
struct Known {
    /// All parts of keys.
    parts: HashSet<Vec<u8>>,
    /// What is hidden where it stands as a whole word.
    words: Vec<Vec<u8>>,
}

/// Forgets all of it, for the fuzzer: a million tokens in one process would take more and more time and memory.
#[cfg(fuzzing)]
pub fn forget() {
    *KNOWN.write().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Learns what the command line and the environment hold.
pub(crate) fn learn_given() {
    // As they would be shown.
    let shown = |text: std::ffi::OsString| PgText::from(text).to_string();
    let variables = std::env::vars_os().map(|(name, value)| (shown(name), shown(value)));
    let variables: Vec<(String, String)> = variables.collect();
    let words: Vec<&str> = variables
        .iter()
        .filter(|(name, _)| WORDS.contains(&name.as_str()))
        .map(|(_, value)| value.as_str())
        .collect();
    for (name, value) in &variables {
        learn(value);
        if name.ends_with("PASSWORD") && !words.contains(&value.as_str()) {
            learn_password(value);
        } else if name.eq_ignore_ascii_case("AZURE_STORAGE_SAS_TOKEN") {
            learn_token(value);
        } else if VARIABLES.contains(&name.as_str()) && name.ends_with("_URL") {
            learn_url(value);
        } else if name.to_ascii_lowercase().ends_with("_proxy") && !value.contains("://") {
            learn(&format!("http://{value}"));
        }
    }
    let mut is_url = false;
    for argument in std::env::args_os().skip(1).map(shown) {
        learn(&argument);
        let (option, value) = match argument.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (argument.as_str(), None),
        };
        let is_option = URL_OPTIONS.contains(&option);
        match value {
            Some(url) if is_option => learn_url(url),
            _ if is_url => learn_url(&argument),
            _ => {}
        }
        is_url = is_option && value.is_none();
    }
}

/// Learns what is secret in a text that may hold a secret: the `sig` of a URL, a password of a conninfo.
pub fn learn(text: &str) {
    learn_places(text);
    let text = text.trim();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    if lines.len() > 1 && !lines.iter().any(|line| line.contains(' ')) {
        // Wrapped when it was copied.
        learn_places(&lines.concat());
    }
    if text.starts_with("postgres") && text.contains("://") {
        // White space that should have been encoded.
        learn_places(&text.replace(char::is_whitespace, "+"));
    }
    for (kind, place) in places(text.as_bytes()) {
        // A password with white space in it that should have been quoted ends before the next keyword.
        if let (SecretKind::Password, Some(rest)) = (kind, text.get(place.start..)) {
            let value = rest.split('=').next().unwrap_or_default();
            let cut = value
                .rfind(char::is_whitespace)
                .filter(|_| value.len() < rest.len());
            learn_password(&value[..cut.unwrap_or(value.len())]);
        }
    }
}

/// Learns a SAS token: its `sig`, or all of it if it cannot be seen where that is.
pub fn learn_token(text: &str) {
    learn(text);
    let is_query = text.contains('&')
        || places(text.as_bytes())
            .iter()
            .any(|it| it.0 == SecretKind::Key);
    let is_path = text.starts_with('/');
    if !is_query && !is_path {
        learn_key(text);
    }
}

/// Learns a URL of which nothing behind the host may be shown, like that of a dead-man's switch.
pub fn learn_url(url: &str) {
    learn(url);
    let Some((_, rest)) = url.trim().split_once("://") else {
        return;
    };
    let Some(at) = rest.find(['/', '?', '#']) else {
        return;
    };
    let secret = rest[at..].trim_end_matches('/');
    learn_word(secret, SHORTEST_KEY);
    for part in secret.split(['/', '?', '#', '&', '=']) {
        let digits = part.bytes().filter(u8::is_ascii_digit).count();
        // A UUID, a random key; not the name of a job, which other names may have a part of.
        if part.len() >= 16 && digits >= 3 {
            learn_key(part);
        }
    }
}

/// Whether the text has the signature of a SAS token in it.
pub fn holds_signature(text: &str) -> bool {
    levels(text).iter().any(|level| {
        let mut found = places(&bytes(level)).into_iter();
        found.any(|(kind, _)| kind == SecretKind::Key)
    })
}

fn learn_places(text: &str) {
    for level in levels(text) {
        let bytes = bytes(&level);
        for (kind, place) in places(&bytes) {
            let secret = String::from_utf8_lossy(&bytes[place]);
            match kind {
                SecretKind::Key | SecretKind::WebToken => learn_key(&secret),
                SecretKind::Password => learn_password(&secret),
            }
        }
    }
}

fn learn_key(text: &str) {
    // Base64's filling, which may be gone.
    let text = text.trim_end_matches('=');
    let key = essence_of(text);
    if key.len() < PART {
        return learn_word(text, SHORTEST_KEY);
    }
    with_known(|known| {
        let parts = key.windows(PART).map(<[u8]>::to_vec);
        known.parts.extend(parts);
    });
}

/// With what is left of it where its `@` or `/` was taken for the end of the URL's part.
fn learn_password(text: &str) {
    let ends = text.match_indices([':', '@', '/', '?', '#']);
    let ends = ends.flat_map(|(at, _)| [&text[..at], &text[at + 1..]]);
    let is_word = |text: &&str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || b"-_".contains(&byte);
        let letters = text.bytes().all(|byte| byte.is_ascii_lowercase());
        text.bytes().all(plain) && (text.len() < 12 || !letters)
    };
    for text in ends.chain([text]).filter(|text| !is_word(text)) {
        learn_word(text, SHORTEST_PASSWORD);
    }
}

fn learn_word(text: &str, shortest: usize) {
    let word = essence_of(text);
    if word.len() < shortest {
        return;
    }
    with_known(|known| {
        if !known.words.contains(&word) {
            known.words.push(word);
        }
    });
}

fn with_known(change: impl FnOnce(&mut Known)) {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    change(known.get_or_insert_default());
}

fn bytes(letters: &[Letter]) -> Vec<u8> {
    letters.iter().map(|letter| letter.byte).collect()
}

fn essence_of(text: &str) -> Vec<u8> {
    let levels = levels(text);
    let letters = levels.last().map_or(&[][..], Vec::as_slice);
    essence(letters)
        .into_iter()
        .map(|at| letters[at].byte)
        .collect()
}

/// The text with `***` in the place of whatever in it is secret.
pub fn hidden(text: &str) -> String {
    let levels = levels(text);
    let mut secret: Vec<Range<usize>> = Vec::new();
    for level in &levels {
        let found = places(&bytes(level)).into_iter();
        secret.extend(
            found.map(|(_, it)| level[it.start].written.start..level[it.end - 1].written.end),
        );
    }
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    if let (Some(known), Some(letters)) = (known.as_ref(), levels.last()) {
        known.mark(letters, &mut secret);
    }
    replaced(text, secret)
}

impl Known {
    fn mark(&self, letters: &[Letter], secret: &mut Vec<Range<usize>>) {
        let essence = essence(letters);
        let text: Vec<u8> = essence.iter().map(|at| letters[*at].byte).collect();
        let mut mark = |number: usize, length: usize| {
            let (first, last) = (essence[number], essence[number + length - 1]);
            secret.push(letters[first].written.start..letters[last].written.end);
        };
        for (number, part) in text.windows(PART).enumerate() {
            if self.parts.contains(part) {
                mark(number, PART);
            }
        }
        for word in &self.words {
            for (number, part) in text.windows(word.len()).enumerate() {
                let (first, last) = (essence[number], essence[number + word.len() - 1]);
                if part == word && is_apart(letters, first, last) {
                    mark(number, word.len());
                }
            }
        }
    }
}

/// Whether no word goes on before the first or behind the last of these letters.
fn is_apart(letters: &[Letter], first: usize, last: usize) -> bool {
    let is_word = |at: usize| {
        letters
            .get(at)
            .is_some_and(|it| it.byte.is_ascii_alphanumeric())
    };
    let goes_on = |at: usize| is_word(at) && is_word(at + 1);
    !goes_on(last) && !first.checked_sub(1).is_some_and(goes_on)
}

fn replaced(text: &str, mut secret: Vec<Range<usize>>) -> String {
    secret.sort_by_key(|place| place.start);
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for place in secret {
        let is_boundary = |at: &usize| text.is_char_boundary(*at);
        let start = (0..=place.start).rev().find(is_boundary).unwrap_or(0);
        let end = (place.end..text.len())
            .find(is_boundary)
            .unwrap_or(text.len());
        if start > at || shown.is_empty() && start == at {
            shown += &text[at..start];
            shown += HIDDEN;
        }
        at = at.max(end);
    }
    shown + &text[at..]
}

#[cfg(test)]
mod tests;
