//! A tar archive: every byte passes once, in its place, and it is judged the same in whatever pieces it comes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tar_stream::{Entry, Event, Flaw, Tar};

fn pass(bytes: &[u8], piece: usize) -> (Vec<Entry>, Result<(), Flaw>) {
    let mut tar = Tar::new();
    let (mut passed, mut entries) = (0, Vec::new());
    let mut on = |at: u64, event: Event<'_>| {
        assert_eq!(at, passed);
        let now = match event {
            Event::Header(now, entry) => {
                entries.push(entry);
                now
            }
            Event::Content(now) | Event::Filler(now) => now,
        };
        assert_eq!(now, &bytes[at as usize..][..now.len()]);
        passed += now.len() as u64;
        Ok::<(), Flaw>(())
    };
    let mut pieces = bytes.chunks(piece);
    let judged = pieces.try_for_each(|piece| tar.feed(piece, &mut on));
    let judged = judged.and_then(|()| tar.end().map(drop));
    (entries, judged)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    let whole = pass(bytes, bytes.len().max(1));
    assert_eq!(whole, pass(bytes, usize::from(*first).max(1)));
});
