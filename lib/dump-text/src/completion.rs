//! Whether a dump is whole by its own words: pg_dump and pg_dumpall end with a line that says so.

/// Enough for the opening lines.
const HEAD: usize = 256;
/// Enough for the closing lines and the longest restrict key.
const TAIL: usize = 4096;

/// The opening comment of `pg_dumpall`.
pub const CLUSTER_OPENING: &[u8] = b"--\n-- PostgreSQL database cluster dump\n--\n";
/// All that `pg_dumpall` writes after the last database, and after the globals when these are alone.
pub const CLUSTER_CLOSING: &[u8] = b"--\n-- PostgreSQL database cluster dump complete\n--\n\n";
const DATABASE_OPENING: &[u8] = b"--\n-- PostgreSQL database dump\n--\n";

const CLUSTER_COMPLETE: &str = "-- PostgreSQL database cluster dump complete";
const DATABASE_COMPLETE: &str = "-- PostgreSQL database dump complete";

/// What a text is, by its opening lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// A dump by pg_dumpall.
    Cluster,
    /// A dump of one database by pg_dump.
    Database,
    /// Anything else, which does not say where it ends.
    Other,
}

/// Sees a text pass by; remembers how it began and how it ended.
#[derive(Debug, Default)]
pub struct Watch {
    head: Vec<u8>,
    tail: Vec<u8>,
    length: u64,
}

impl Watch {
    /// The next piece.
    pub fn see(&mut self, piece: &[u8]) {
        self.length += piece.len() as u64;
        let wanted = HEAD.saturating_sub(self.head.len()).min(piece.len());
        self.head.extend_from_slice(&piece[..wanted]);
        if piece.len() >= TAIL {
            self.tail.clear();
        }
        let kept = &piece[piece.len().saturating_sub(TAIL)..];
        self.tail.extend_from_slice(kept);
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
    }

    /// Bytes seen.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// What it is, so far as has been seen.
    pub fn text(&self) -> Text {
        if self.head.starts_with(CLUSTER_OPENING) {
            Text::Cluster
        } else if self.head.starts_with(DATABASE_OPENING) {
            Text::Database
        } else {
            Text::Other
        }
    }

    /// Whether it ended with the line that says that it is whole, and nothing but comments and the end
    /// of psql's restricted mode after it.
    pub fn is_complete(&self) -> bool {
        let line = match self.text() {
            Text::Cluster => CLUSTER_COMPLETE,
            Text::Database => DATABASE_COMPLETE,
            Text::Other => return true,
        };
        let tail = String::from_utf8_lossy(&self.tail);
        let mut unrestricted = None;
        for closing in tail.lines().rev() {
            if closing == line {
                // A dump in restricted mode ends by leaving it; pg_dumpall has left it before.
                return tail.ends_with('\n')
                    && (line == CLUSTER_COMPLETE || unrestricted == self.restrict_key());
            }
            match closing.strip_prefix("\\unrestrict ") {
                Some(key) => unrestricted = Some(key.to_owned()),
                None if closing.is_empty() || closing.starts_with("--") => {}
                None => return false,
            }
        }
        false
    }

    /// The key of the `\restrict` line that follows the opening comment.
    fn restrict_key(&self) -> Option<String> {
        let head = String::from_utf8_lossy(&self.head);
        let mut lines = head.lines().skip(3).filter(|line| !line.is_empty());
        let key = lines.next()?.strip_prefix("\\restrict ")?;
        Some(key.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATABASE: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict k3y\n\n-- Dumped from database version 15.18\n\nSELECT 1;\n\n--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict k3y\n\n";

    fn watched(text: &str, piece: usize) -> Watch {
        let mut watch = Watch::default();
        for piece in text.as_bytes().chunks(piece) {
            watch.see(piece);
        }
        watch
    }

    #[test]
    fn a_whole_dump_in_pieces_of_any_size() {
        let long = DATABASE.replace("SELECT 1;", &"SELECT 1;\n".repeat(3000));
        for text in [DATABASE, &long] {
            for piece in [1, 7, 100, 4096, 1 << 20] {
                let watch = watched(text, piece);
                assert_eq!(watch.text(), Text::Database);
                assert!(watch.is_complete(), "{piece}");
                assert_eq!(watch.length(), text.len() as u64);
            }
        }
    }

    #[test]
    fn every_cut_is_seen() {
        // The blank lines at the end may be missing; no statement is lost then.
        let needed = DATABASE.trim_end().len() + 1;
        for end in DATABASE.find("\n--\n\n").unwrap() + 5..needed {
            assert!(!watched(&DATABASE[..end], 64).is_complete(), "{end}");
        }
        assert!(watched(&DATABASE[..needed], 64).is_complete());
    }

    #[test]
    fn what_follows_the_completion_must_be_nothing() {
        let more = format!("{DATABASE}SELECT 2;\n");
        assert!(!watched(&more, 64).is_complete());
        let other_key = DATABASE.replace("\\unrestrict k3y", "\\unrestrict other");
        assert!(!watched(&other_key, 64).is_complete());
    }

    #[test]
    fn a_dump_of_an_older_client() {
        let old = "--\n-- PostgreSQL database dump\n--\n\nSELECT 1;\n\n--\n-- PostgreSQL database dump complete\n--\n\n";
        assert!(watched(old, 64).is_complete());
        assert!(!watched(&old.replace(" complete", " complet"), 64).is_complete());
    }

    #[test]
    fn a_cluster() {
        let whole = [
            CLUSTER_OPENING,
            b"\n\\restrict k\n\n\\unrestrict k\n\n",
            DATABASE.as_bytes(),
            CLUSTER_CLOSING,
        ]
        .concat();
        let whole = String::from_utf8(whole).unwrap();
        assert_eq!(watched(&whole, 64).text(), Text::Cluster);
        assert!(watched(&whole, 64).is_complete());
        let cut = &whole[..whole.len() - CLUSTER_CLOSING.len()];
        assert!(!watched(cut, 64).is_complete());
    }

    #[test]
    fn another_text_ends_anywhere() {
        assert_eq!(watched("hello", 64).text(), Text::Other);
        assert!(watched("hello", 64).is_complete());
    }
}
