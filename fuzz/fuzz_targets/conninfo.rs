//! A connection string: it leads to the database that it is told, and no password is shown, whatever stands around it.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use libfuzzer_sys::fuzz_target;
use pg_client::Conninfo;

fuzz_target!(|text: &[u8]| {
    parse(text);
    for before in [
        &b"password='s3cret-w0rd' "[..],
        b"postgresql://me:s3cret-w0rd@h/",
    ] {
        let shown = parse(&[before, text].concat());
        assert!(!shown.contains("s3cret-w0rd"), "{shown}");
    }
});

/// What is shown of it.
fn parse(text: &[u8]) -> String {
    let conninfo = match Conninfo::parse(OsStr::from_bytes(text)) {
        Ok(conninfo) => conninfo,
        Err(error) => return format!("{error} {error:?}"),
    };
    let name = "a database's \\name";
    let with = conninfo.with_database(name);
    // Read again, what we made of it is the same.
    let again = Conninfo::parse(OsStr::from_bytes(with.as_bytes())).expect("our own");
    assert_eq!(
        again.database().map(|it| it.as_bytes()),
        Some(name.as_bytes())
    );
    assert_eq!(again.with_database(name).as_bytes(), with.as_bytes());
    format!("{conninfo:?} {with:?}")
}
