//! What pg_dump writes whatever server it dumps, and servers older than itself do not know.

use std::borrow::Cow;

use dump_text::tokens;

/// `SET transaction_timeout = 0;`, which each database begins with from pg_dump 17 on.
const KNOWS_TRANSACTION_TIMEOUT: u32 = 17;
/// `LOCALE_PROVIDER = libc`, which `CREATE DATABASE` has from pg_dump 15 on.
const KNOWS_LOCALE_PROVIDER: u32 = 15;

/// Whether a setting is one that a server of this major version does not know.
pub(super) fn is_unknown(statement: &[u8], server: u32) -> bool {
    if server >= KNOWS_TRANSACTION_TIMEOUT {
        return false;
    }
    let mut words = tokens(statement).map(|spanned| spanned.token);
    words.next().is_some_and(|word| word.is("set"))
        && words
            .next()
            .is_some_and(|word| word.is("transaction_timeout"))
}

/// A `CREATE DATABASE` as a server of this major version knows it. What is taken out leaves blanks, so that all else
/// stands where it stood.
pub(super) fn known(statement: &[u8], server: u32) -> Cow<'_, [u8]> {
    if server >= KNOWS_LOCALE_PROVIDER {
        return Cow::Borrowed(statement);
    }
    let mut words = tokens(statement);
    let Some(option) = words.find(|word| word.token.is("locale_provider")) else {
        return Cow::Borrowed(statement);
    };
    // Another provider is none that it has.
    let Some(libc) = words.nth(1).filter(|value| value.token.is("libc")) else {
        return Cow::Borrowed(statement);
    };
    let mut known = statement.to_vec();
    known[option.at.start..libc.at.end].fill(b' ');
    Cow::Owned(known)
}
