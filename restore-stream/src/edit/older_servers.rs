//! What pg_dump writes whichever server it dumps, although servers older than pg_dump do not know it.

use dump_text::{Token, tokens};

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

/// Whether an option of `CREATE DATABASE` can be left out on a server of this major version, which does the same anyway and
/// does not know the word. (It has no other provider either.)
pub(super) fn says_nothing(keyword: &str, value: &Token, server: u32) -> bool {
    server < KNOWS_LOCALE_PROVIDER && keyword == "locale_provider" && value.is("libc")
}
