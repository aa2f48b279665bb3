//! Whether a dump is whole by its own words: pg_dump and pg_dumpall end with a line that says so.

use std::convert::Infallible;

use crate::Scanner;
use crate::flaw::{Flaw, Oddity};
use crate::opening::{Dump, HEAD, LineEnds, Opening, Text};
use crate::sequence::Sequence;

/// The longest restrict key. pg_dump has no limit; this one fits into the member at each end of a compressed dump.
const KEY: usize = 32 << 10;
/// Enough for the opening, with that key.
const BEGINNING: usize = HEAD + KEY;
/// Enough for the closing lines, with that key.
const TAIL: usize = 4096 + KEY;

/// The opening comment of `pg_dumpall`.
const CLUSTER_OPENING: &[u8] = b"--\n-- PostgreSQL database cluster dump\n--\n";
/// All that `pg_dumpall` writes after the last database, and after the globals when these are alone.
pub const CLUSTER_CLOSING: &[u8] = b"--\n-- PostgreSQL database cluster dump complete\n--\n\n";
const DATABASE_OPENING: &[u8] = b"--\n-- PostgreSQL database dump\n--\n";

const CLUSTER_COMPLETE: &[u8] = b"-- PostgreSQL database cluster dump complete";
const DATABASE_COMPLETE: &[u8] = b"-- PostgreSQL database dump complete";
const UNRESTRICT: &[u8] = b"\\unrestrict ";

/// Watches a text pass by, and remembers how it began and how it ended. A [thorough](Watch::thorough) one also follows
/// the dumps that the text consists of.
#[derive(Debug, Default)]
pub struct Watch {
    head: Vec<u8>,
    tail: Vec<u8>,
    length: u64,
    dumps: Option<Dumps>,
}

/// The dumps of a text.
#[derive(Debug)]
enum Dumps {
    /// What it is is not clear yet.
    Unknown,
    /// There are some.
    Followed(Box<Follower>),
    /// There are none.
    None,
}

#[derive(Debug, Default)]
struct Follower {
    scanner: Scanner,
    sequence: Sequence,
}

impl Follower {
    fn see(&mut self, text: &[u8]) {
        let Self { scanner, sequence } = self;
        let Ok(()) = scanner.feed(text, &mut |piece| {
            sequence.see(piece);
            Ok::<(), Infallible>(())
        });
    }

    /// The text has ended: whether each dump has.
    fn check(&self) -> Result<(), Flaw> {
        match (self.sequence.is_closed(), self.scanner.is_between()) {
            (true, true) => Ok(()),
            (true, false) => Err(Flaw::Followed),
            (false, _) => Err(Flaw::Cut),
        }
    }
}

impl Watch {
    /// How many bytes tell what a text is: with fewer, [`Watch::text`] says what they look like so far.
    pub const ENOUGH: usize = HEAD;

    /// One that is to see all of a text: each dump in it must have ended before the next begins.
    pub fn thorough() -> Self {
        Self {
            dumps: Some(Dumps::Unknown),
            ..Self::default()
        }
    }

    /// The same, without what a thorough one has seen between the ends: its index says more of a backup of ours.
    #[must_use]
    pub fn by_its_ends(self) -> Self {
        Self {
            dumps: None,
            ..self
        }
    }

    /// The next piece.
    pub fn see(&mut self, piece: &[u8]) {
        self.see_ends(piece);
        match &mut self.dumps {
            Some(Dumps::Followed(follower)) => follower.see(piece),
            Some(Dumps::Unknown) if self.head.len() >= HEAD => {
                // What has come is in the head, and the last of it in this piece.
                let rest =
                    usize::try_from(self.length).map_or(0, |length| length - self.head.len());
                self.dumps = Some(match self.follower() {
                    Some(mut follower) => {
                        follower.see(&piece[piece.len() - rest..]);
                        Dumps::Followed(Box::new(follower))
                    }
                    None => Dumps::None,
                });
            }
            _ => {}
        }
    }

    /// What is wrong with it however it goes on; only a thorough one sees that.
    pub fn flaw(&self) -> Option<Flaw> {
        match &self.dumps {
            Some(Dumps::Followed(follower)) => follower.sequence.flaw(),
            Some(Dumps::Unknown) => self.follower()?.sequence.flaw(),
            _ => None,
        }
    }

    /// How many dumps follow each other in it, as far as a thorough one has seen.
    pub fn count(&self) -> usize {
        match &self.dumps {
            Some(Dumps::Followed(follower)) => follower.sequence.count(),
            Some(Dumps::Unknown) => self.follower().map_or(0, |it| it.sequence.count()),
            _ => 0,
        }
    }

    /// Whether a dump has ended that is in no other, as far as a thorough one has seen.
    pub(crate) fn has_closed(&self) -> bool {
        match &self.dumps {
            Some(Dumps::Followed(follower)) => follower.sequence.has_closed(),
            _ => false,
        }
    }

    /// A follower that has read the head; none if no dump begins there.
    fn follower(&self) -> Option<Follower> {
        let Opening::Dump(dump) = self.opening() else {
            return None;
        };
        let mut follower = Follower::default();
        follower.see(&self.head[dump.foreign..]);
        Some(follower)
    }

    fn see_ends(&mut self, piece: &[u8]) {
        self.length += piece.len() as u64;
        let wanted = BEGINNING.saturating_sub(self.head.len());
        let wanted = wanted.min(piece.len());
        self.head.extend_from_slice(&piece[..wanted]);
        if piece.len() >= TAIL {
            self.tail.clear();
        }
        let kept = &piece[piece.len().saturating_sub(TAIL)..];
        self.tail.extend_from_slice(kept);
        // Not each time: pieces may be single lines.
        if self.tail.len() > 2 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
    }

    /// Bytes seen.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// What it is, so far as has been seen, whatever stands before it.
    pub fn text(&self) -> Text {
        match self.opening() {
            Opening::Dump(Dump { text, .. }) | Opening::Wide(text, _) => text,
            Opening::Cut | Opening::None => Text::Other,
        }
    }

    /// Whether it begins with the opening of a dump, byte for byte as pg_dump and pg_dumpall write it.
    pub fn is_plain(&self) -> bool {
        self.head.starts_with(CLUSTER_OPENING) || self.head.starts_with(DATABASE_OPENING)
    }

    /// What makes a dump useless however it goes on: known from its first bytes.
    ///
    /// # Errors
    /// Which flaw.
    pub fn check_opening(&self) -> Result<(), Flaw> {
        match self.opening() {
            Opening::Wide(_, encoding) => Err(Flaw::Encoding(encoding)),
            Opening::Dump(dump) if dump.ends == LineEnds::Odd => Err(Flaw::LineEnds),
            _ => Ok(()),
        }
    }

    /// The text has ended: whether it is a whole dump that psql can read, or no dump at all. A whole one ends
    /// with the line that says so, and nothing but comments, the end of psql's restricted mode and `RESET` after it.
    ///
    /// # Errors
    /// Which flaw.
    pub fn check(&self) -> Result<(), Flaw> {
        match self.opening() {
            Opening::Wide(_, encoding) => Err(Flaw::Encoding(encoding)),
            Opening::Dump(dump) => self.check_dump(&dump),
            Opening::Cut => Err(Flaw::Cut),
            Opening::None => Ok(()),
        }
    }

    fn check_dump(&self, dump: &Dump) -> Result<(), Flaw> {
        let short = match self.dumps {
            Some(Dumps::Unknown) => self.follower().map(Box::new),
            _ => None,
        };
        let follower = match &self.dumps {
            Some(Dumps::Followed(follower)) => Some(follower),
            _ => short.as_ref(),
        };
        let Some(follower) = follower else {
            return self.check_closing(dump, dump.text, self.restrict_key(dump));
        };
        if dump.ends == LineEnds::Odd {
            return Err(Flaw::LineEnds);
        }
        if let Some(flaw) = follower.sequence.flaw() {
            return Err(flaw);
        }
        match follower.sequence.last() {
            Some(last) => {
                self.check_closing(dump, last.text, last.key.as_deref().map(str::as_bytes))?;
            }
            None => return Err(Flaw::Cut),
        }
        follower.check()
    }

    /// Whether [`Watch::check`] finds no flaw.
    pub fn is_complete(&self) -> bool {
        self.check().is_ok()
    }

    /// What is odd about it, so far as has been seen, if psql can read it.
    pub fn oddities(&self) -> Vec<Oddity> {
        let Opening::Dump(dump) = self.opening() else {
            return Vec::new();
        };
        let mut oddities = Vec::new();
        if dump.greeting {
            oddities.push(Oddity::Greeting(dump.foreign));
        }
        if dump.ends == LineEnds::CrLf {
            oddities.push(Oddity::CrLf);
        }
        oddities
    }

    pub(crate) fn opening(&self) -> Opening {
        let head = &self.head[..self.head.len().min(HEAD)];
        Opening::of(head, self.head.len() < HEAD)
    }

    /// Whether the text ends as a dump of this kind does; of a database's, in restricted mode, by this key.
    fn check_closing(&self, dump: &Dump, text: Text, key: Option<&[u8]>) -> Result<(), Flaw> {
        if dump.ends == LineEnds::Odd {
            return Err(Flaw::LineEnds);
        }
        let unrestricted = self.closing(text)?;
        // A dump in restricted mode ends by leaving it; pg_dumpall has left it before.
        match text == Text::Cluster || unrestricted == key {
            true => Ok(()),
            false => Err(Flaw::Cut),
        }
    }

    /// Finds the closing line of such a dump at the text's end: the key of the `\unrestrict` after it.
    pub(crate) fn closing(&self, text: Text) -> Result<Option<&[u8]>, Flaw> {
        let line = match text {
            Text::Cluster => CLUSTER_COMPLETE,
            _ => DATABASE_COMPLETE,
        };
        let ended = self.tail.ends_with(b"\n");
        let mut unrestricted = None;
        let mut lines = self.tail.split(|byte| *byte == b'\n').rev();
        while let Some(closing) = lines.next() {
            let words = without_returns(closing);
            if LineEnds::of(closing.len() - words.len(), true) == LineEnds::Odd {
                return Err(Flaw::LineEnds);
            }
            if words == line {
                return ended.then_some(unrestricted).ok_or(Flaw::Cut);
            }
            match words.strip_prefix(UNRESTRICT) {
                Some(key) => unrestricted = Some(key),
                None if words.trim_ascii().is_empty() || words.starts_with(b"--") => {}
                None if is_reset(words) => {}
                None if !ended && (UNRESTRICT.starts_with(words) || words == b"-") => {}
                None => {
                    let followed = lines.any(|before| without_returns(before) == line);
                    return Err(if followed { Flaw::Followed } else { Flaw::Cut });
                }
            }
        }
        Err(Flaw::Cut)
    }

    /// The key of the `\restrict` line that follows the opening comment.
    pub(crate) fn restrict_key(&self, dump: &Dump) -> Option<&[u8]> {
        let lines = self.head[dump.start..].split(|byte| *byte == b'\n');
        let mut lines = lines.map(without_returns).skip(3);
        let key = lines.find(|line| !line.is_empty())?;
        key.strip_prefix(b"\\restrict ")
    }
}

fn without_returns(line: &[u8]) -> &[u8] {
    let length = line.iter().rposition(|byte| *byte != b'\r');
    &line[..length.map_or(0, |at| at + 1)]
}

/// `RESET ALL;`, which some tools write after a dump (`supabase db dump`). No dump has such a line, so it is not the
/// beginning of another one.
fn is_reset(line: &[u8]) -> bool {
    line.strip_prefix(b"RESET ")
        .and_then(|rest| rest.strip_suffix(b";"))
        .is_some_and(|name| {
            name.iter()
                .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        })
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
    fn a_long_key_is_a_key() {
        for length in [1, 63, 300, 1000, 5000, KEY - 1] {
            let text = DATABASE.replace("k3y", &"k".repeat(length));
            assert!(watched(&text, 100).is_complete(), "{length}");
            let long = text.replace("SELECT 1;", &"SELECT 1;\n".repeat(100_000));
            assert!(watched(&long, 1000).is_complete(), "{length}");
            let other = text.replace("\\unrestrict k", "\\unrestrict x");
            assert!(!watched(&other, 100).is_complete(), "{length}");
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
