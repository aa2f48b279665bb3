//! A connection string: no password is shown.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use libfuzzer_sys::fuzz_target;
use pg_client::Conninfo;

fuzz_target!(|text: &[u8]| {
    let (shown, given) = match Conninfo::parse(OsStr::from_bytes(text)) {
        Ok(conninfo) => {
            // Read again, what we make of it is the same.
            let with = conninfo.with_database("x y'");
            let again = Conninfo::parse(OsStr::from_bytes(with.as_ref())).expect("our own");
            assert_eq!(again.database().map(|name| name.as_bytes().to_vec()), Some(b"x y'".to_vec()));
            (format!("{conninfo:?}"), true)
        }
        Err(error) => (format!("{error} {error:?}"), false),
    };
    let text = String::from_utf8_lossy(text);
    for (_, password) in text.split_whitespace().filter_map(|pair| pair.split_once("password=")) {
        assert!(password.len() < 12 || !shown.contains(password), "{given}: {shown}");
    }
});
