//! Timeline histories and the names of archived files: read or refused, whatever the bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wal::{History, Lsn, WalName};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some(name) = WalName::parse(text)
    {
        assert_eq!(name.to_string(), text);
    }
    let Ok(history) = History::parse(u32::MAX, bytes) else {
        return;
    };
    let mut from = Lsn(0);
    let mut timeline = 0;
    for (next, begins, ends) in history.path() {
        assert!(next > timeline && begins >= from);
        assert_eq!(history.left(next), ends);
        (timeline, from) = (next, begins);
    }
    assert_eq!(timeline, u32::MAX);
    assert_eq!(history.contradicts(&history.clone()), None);
    // Written as PostgreSQL writes it, it is the same.
    let lines = history.forks().iter();
    let text: String = lines
        .map(|fork| format!("{}\t{}\tx\n", fork.timeline, fork.at))
        .collect();
    assert_eq!(History::parse(u32::MAX, text.as_bytes()), Ok(history));
});
