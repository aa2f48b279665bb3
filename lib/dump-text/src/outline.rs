//! What the beginning and the end of a text tell of the dumps in it, where nothing between is read.

use crate::completion::Watch;
use crate::flaw::Flaw;
use crate::opening::{Opening, Text};

/// What the ends of a text tell of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outline {
    /// It is no dump, or one that ends as it begins.
    Whole,
    /// Several dumps follow each other, of which the last ends as dumps end: whether the others do is seen only by
    /// reading it through.
    Several,
}

impl Outline {
    /// Judges a text by its first and its last bytes. All of a short text is `last`.
    ///
    /// # Errors
    /// It is not good, whatever stands between them.
    pub fn of(first: &[u8], last: &[u8]) -> Result<Self, Flaw> {
        let mut begun = Watch::thorough();
        if first.is_empty() {
            begun.see(last);
            return begun.check().map(|()| Self::Whole);
        }
        begun.see(first);
        if let Some(flaw) = begun.flaw() {
            return Err(flaw);
        }
        let mut ends = Watch::default();
        ends.see(first);
        ends.see(last);
        let several = begun.count() > 1 || begun.has_closed() || ends.closes_another();
        match ends.check() {
            Ok(()) if !several => Ok(Self::Whole),
            Ok(()) => Ok(Self::Several),
            Err(Flaw::Cut | Flaw::Followed) if several => match ends.closes_any() {
                true => Ok(Self::Several),
                false => Err(Flaw::Cut),
            },
            Err(flaw) => Err(flaw),
        }
    }
}

impl Watch {
    /// Whether the text ends as any dump does.
    fn closes_any(&self) -> bool {
        self.closing(Text::Cluster).is_ok() || self.closing(Text::Database).is_ok()
    }

    /// Whether the text ends as a dump does that is not the one that it begins with. The end of a database's dump is no
    /// sign of that where a cluster's has begun, of which it may be a part.
    fn closes_another(&self) -> bool {
        let Opening::Dump(dump) = self.opening() else {
            return false;
        };
        let key = self.restrict_key(&dump);
        match (dump.text, self.closing(Text::Database)) {
            (Text::Database, Ok(other @ Some(_))) => other != key,
            (Text::Database, _) => self.closing(Text::Cluster).is_ok(),
            _ => false,
        }
    }
}
