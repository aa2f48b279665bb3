//! Whether what was restored is to blame for an error of the server that it is in. The error's code and the place in the
//! server's source tell; its words may be in any language.

use job::Error;
use private_server::LoggedError;

use crate::restore_test::failure::Failure;

/// Codes, and classes of codes, of what the machine or this test lacks (PostgreSQL documentation, appendix A).
const NOT_THE_BACKUP: [&str; 8] = [
    "08",    // connections
    "0A",    // not supported: what the server was built without
    "22023", // a value that this server lacks, such as a locale
    "42501", // what the role may not do
    "53",    // disk, memory, connections
    "55",    // in use, locked
    "57",    // cancelled, shut down
    "58030", // the disk of this machine
];

/// Places in the server's source that fail for want of something on the machine, whatever the code.
const OF_THE_MACHINE: [(&str, &str); 4] = [
    // A library that cannot be loaded: the code is that of any file that is not there.
    (", dfmgr.c", LIBRARY),
    // WAL of an extension's own kind.
    (", rmgr.c", LIBRARY),
    // A database whose locale is not here.
    ("CheckMyDatabase, ", LOCALE),
    (", pg_locale", LOCALE),
];
const LIBRARY: &str = "install the package of the extension that it belongs to; the server that is restored into on the worst day needs it too";
const LOCALE: &str = "make the locale (locale-gen), or run the test in the cluster's own image";
const OTHERWISE: &str = "this says nothing about the store: see to it, and run the test again with the --at that is printed";

/// What to do about damage.
pub(super) const DAMAGE: &str = "look whether the cluster itself has it (pg_amcheck); if not, take a new base backup: pgdump-gz --base | blob-put - STORE/; an earlier moment may still be good";

/// What an error says about what was restored.
pub(super) fn failure(error: &LoggedError) -> Failure {
    match excuse(error) {
        None => Failure::not_good(error.text.clone()).hint(DAMAGE),
        Some(hint) => Failure::from(Error::failed(error.text.clone())).hint(hint),
    }
}

/// What several errors say: one for which there is no excuse counts more than others. None without any.
pub(super) fn failure_of(errors: &[LoggedError]) -> Option<Failure> {
    let worst = errors.iter().find(|error| excuse(error).is_none());
    worst.or(errors.first()).map(failure)
}

/// Why an error is not the backup's fault: what to do about it. None if it is.
fn excuse(error: &LoggedError) -> Option<&'static str> {
    let is_at = |it: &&(&str, &str)| error.location.contains(it.0);
    if let Some((_, hint)) = OF_THE_MACHINE.iter().find(is_at) {
        return Some(hint);
    }
    let code = error.sqlstate.as_str();
    let is_excused = NOT_THE_BACKUP.iter().any(|it| code.starts_with(it));
    is_excused.then_some(OTHERWISE)
}

#[cfg(test)]
mod tests {
    use pg_client::SqlState;

    use super::*;

    fn error(code: &str, location: &str) -> LoggedError {
        LoggedError {
            severity: "FEHLER".into(),
            sqlstate: SqlState::parse(code).unwrap(),
            text: "FEHLER:  etwas".into(),
            location: location.into(),
        }
    }

    fn code(failure: Failure) -> u8 {
        failure.error("database 'x'").exit().code()
    }

    #[test]
    fn damage_is_told_from_what_the_machine_lacks() {
        for (sqlstate, location, wanted) in [
            ("XX001", "PageIsVerifiedExtended, bufpage.c:150", 3),
            ("XX002", "bt_target_page_check, verify_nbtree.c:1", 3),
            ("58P01", "mdopenfork, md.c:663", 3),
            ("XX000", "", 3),
            ("F0000", "PerformWalRecovery, xlogrecovery.c:1", 3),
            ("58P01", "internal_load_library, dfmgr.c:208", 1),
            ("XX000", "RmgrNotFound, rmgr.c:91", 1),
            ("XX000", "CheckMyDatabase, postinit.c:424", 1),
            ("53100", "mdextend, md.c:465", 1),
            ("53200", "", 1),
            ("57014", "ProcessInterrupts, postgres.c:3400", 1),
        ] {
            assert_eq!(
                code(failure(&error(sqlstate, location))),
                wanted,
                "{sqlstate}"
            );
        }
    }

    #[test]
    fn damage_counts_more_than_what_else_there_was() {
        let errors = [error("53100", ""), error("XX001", ""), error("57014", "")];
        assert_eq!(failure_of(&errors).map(code), Some(3));
        assert_eq!(failure_of(&errors[..1]).map(code), Some(1));
        assert!(failure_of(&[]).is_none());
    }
}
