//! The text of a dump: its pieces are the text, and how it is cut into parts makes no difference to any reader of it.
#![no_main]

use std::convert::Infallible;

use dump_text::{Event, PartScanner, Piece, Scanner, Watch, command, subject};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (step, text) = input;
    let whole = usize::MAX;
    for scanner in [Scanner::new, Scanner::reporting_ambiguity] {
        let pieces = scan(scanner(), text, whole);
        assert_eq!(pieces, scan(scanner(), text, usize::from(step) + 1));
        assert_eq!(
            pieces
                .iter()
                .flat_map(|(_, bytes)| bytes)
                .copied()
                .collect::<Vec<u8>>(),
            text
        );
    }
    assert_eq!(parts(text, whole), parts(text, usize::from(step) + 1));
    assert_eq!(watch(text, whole), watch(text, usize::from(step) + 1));
});

fn cut(text: &[u8], step: usize) -> impl Iterator<Item = &[u8]> {
    text.chunks(step.min(text.len()).max(1))
}

/// The pieces by kind, those that may come in parts put together.
fn scan(mut scanner: Scanner, text: &[u8], step: usize) -> Vec<(u8, Vec<u8>)> {
    let mut pieces: Vec<(u8, Vec<u8>)> = Vec::new();
    let mut keep = |piece: Piece<'_>| {
        let kind = match piece {
            Piece::Space(_) => 0,
            Piece::Comment(_) => 1,
            Piece::Command(bytes) => {
                let _ = command(bytes);
                2
            }
            Piece::Statement(bytes) => {
                let _ = subject(bytes);
                3
            }
            Piece::Head(_) | Piece::Body { .. } => 4,
            Piece::Ambiguous(_) => 5,
            Piece::Data(_) => 6,
            Piece::DataEnd { .. } => 7,
        };
        match pieces.last_mut() {
            Some((last, bytes)) if *last == kind && matches!(kind, 0 | 1 | 2 | 4 | 5 | 6) => {
                bytes.extend_from_slice(piece.bytes());
            }
            _ => pieces.push((kind, piece.bytes().to_vec())),
        }
        Ok::<(), Infallible>(())
    };
    for part in cut(text, step) {
        let Ok(()) = scanner.feed(part, &mut keep);
    }
    let Ok(_) = scanner.finish(&mut keep);
    pieces
}

/// Which parts begin where.
fn parts(text: &[u8], step: usize) -> Vec<(usize, String)> {
    let mut scanner = PartScanner::new();
    let mut at = 0;
    let mut begun = Vec::new();
    let mut see = |event: Event<'_>| {
        match event {
            Event::Begin(part) => begun.push((at, format!("{part:?}"))),
            Event::Piece(piece) => at += piece.bytes().len(),
        }
        Ok::<(), Infallible>(())
    };
    for part in cut(text, step) {
        let Ok(()) = scanner.feed(part, &mut see);
    }
    let Ok(_) = scanner.finish(&mut see);
    begun
}

/// What is said of the whole.
fn watch(text: &[u8], step: usize) -> String {
    let mut watch = Watch::thorough();
    for part in cut(text, step) {
        watch.see(part);
    }
    format!(
        "{:?} {:?} {:?} {}",
        watch.check(),
        watch.flaw(),
        watch.text(),
        watch.count()
    )
}
