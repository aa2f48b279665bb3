use crate::opening::{HEAD, Opening};

/// Leaves out what stands before a dump and is not SQL: a greeting, a byte order mark. It holds the first bytes back until
/// they tell what the text is. Any other text passes unchanged.
#[derive(Debug, Default)]
pub struct PreambleFilter {
    held: Vec<u8>,
    open: bool,
}

impl PreambleFilter {
    /// Takes the next piece of the text, and gives what may pass of it and of the bytes held so far.
    pub fn pass<'a>(&'a mut self, piece: &'a [u8]) -> &'a [u8] {
        if self.open {
            return piece;
        }
        self.held.extend_from_slice(piece);
        match self.held.len() < HEAD {
            true => &[],
            false => self.open(),
        }
    }

    /// The text has ended: what is still held.
    pub fn end(&mut self) -> &[u8] {
        match self.open {
            true => &[],
            false => self.open(),
        }
    }

    /// Whether nothing is held back any more.
    pub fn is_open(&self) -> bool {
        self.open
    }

    fn open(&mut self) -> &[u8] {
        self.open = true;
        let head = &self.held[..self.held.len().min(HEAD)];
        let foreign = match Opening::of(head, self.held.len() < HEAD) {
            Opening::Dump(dump) => dump.foreign,
            _ => 0,
        };
        &self.held[foreign..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_sql_is_left_out_in_pieces_of_any_size() {
        let dump = format!(
            "--\n-- PostgreSQL database dump\n--\n\n{}",
            "SET a = 1;\n".repeat(2000)
        );
        let other = "some words\n".repeat(1000);
        for (before, text, foreign) in [
            ("", &dump, 0),
            ("\u{feff}", &dump, 3),
            ("Welcome!\n", &dump, 9),
            ("\u{feff}Welcome!\n", &dump, 12),
            ("-- by a job\n", &dump, 0),
            ("Welcome!\n", &other, 0),
            ("", &"short".to_owned(), 0),
            ("Hi\n", &dump[..50].to_owned(), 3),
        ] {
            let text = format!("{before}{text}");
            for size in [1, 7, 1000, HEAD, 1 << 20] {
                let mut filter = PreambleFilter::default();
                let mut passed = Vec::new();
                for piece in text.as_bytes().chunks(size) {
                    passed.extend_from_slice(filter.pass(piece));
                }
                passed.extend_from_slice(filter.end());
                assert!(passed == text.as_bytes()[foreign..], "{before:?} {size}");
            }
        }
    }
}
