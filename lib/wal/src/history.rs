//! Timeline history files (PostgreSQL's `timeline.c`): one line for each timeline that this one descends from, oldest
//! first: its number, where it was left, and why.

use std::fmt;

use crate::Lsn;

/// The most bytes of a history file that is read. A timeline that descends from thousands of others has fewer.
const MOST: usize = 1 << 20;

/// Where a timeline was left for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fork {
    /// The timeline that was left.
    pub timeline: u32,
    /// The first byte that no longer belongs to it.
    pub at: Lsn,
}

/// Where a timeline came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    timeline: u32,
    /// The oldest first.
    forks: Vec<Fork>,
}

/// Why a text is no history of its timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HistoryError {
    /// It is no text, or longer than any history.
    NoText,
    /// A line (from 1) is not `TIMELINE LSN REASON`.
    Line(usize),
    /// The timeline in a line (from 1) is not greater than the one before.
    Order(usize),
    /// The last timeline is not lower than the one that the file is of.
    Own,
    /// A timeline was left (in this line, from 1) before the place where it began.
    Place(usize),
    /// It names no timeline at all, so it is cut or empty.
    Empty,
}

impl History {
    /// Reads the history of a timeline.
    ///
    /// # Errors
    /// What is no such history.
    pub fn parse(timeline: u32, text: &[u8]) -> Result<Self, HistoryError> {
        if text.len() > MOST {
            return Err(HistoryError::NoText);
        }
        // The reason may be in any encoding: a restore point has a name.
        let mut forks: Vec<Fork> = Vec::new();
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let fork = fork(line).ok_or(HistoryError::Line(number))?;
            if let Some(last) = forks.last() {
                if fork.timeline <= last.timeline {
                    return Err(HistoryError::Order(number));
                }
                if fork.at < last.at {
                    return Err(HistoryError::Place(number));
                }
            }
            forks.push(fork);
        }
        match forks.last() {
            None => Err(HistoryError::Empty),
            Some(last) if last.timeline >= timeline => Err(HistoryError::Own),
            Some(_) => Ok(Self { timeline, forks }),
        }
    }

    /// A timeline that came from no other, as far as is known: timeline 1 has no file, another one's may be missing.
    pub fn alone(timeline: u32) -> Self {
        Self {
            timeline,
            forks: Vec::new(),
        }
    }

    /// The timeline that it is of.
    pub fn timeline(&self) -> u32 {
        self.timeline
    }

    /// The timelines that it descends from, the oldest first, each with the place where it was left.
    pub fn forks(&self) -> &[Fork] {
        &self.forks
    }

    /// Where it left `timeline`; none if it does not descend from it.
    pub fn left(&self, timeline: u32) -> Option<Lsn> {
        let fork = self.forks.iter().find(|fork| fork.timeline == timeline);
        fork.map(|fork| fork.at)
    }

    /// Where it began.
    pub fn begins(&self) -> Lsn {
        self.forks.last().map_or(Lsn(0), |fork| fork.at)
    }

    /// The timelines that a recovery to it goes through, the oldest first, itself last: each with its first byte, and
    /// the first that no longer belongs to it.
    pub fn path(&self) -> impl Iterator<Item = (u32, Lsn, Option<Lsn>)> {
        let begins = std::iter::once(Lsn(0)).chain(self.forks.iter().map(|fork| fork.at));
        let ends = self.forks.iter().map(|fork| (fork.timeline, Some(fork.at)));
        let ends = ends.chain(std::iter::once((self.timeline, None)));
        begins
            .zip(ends)
            .map(|(from, (timeline, to))| (timeline, from, to))
    }

    /// The first fork in which two histories of one cluster contradict each other: a timeline that both came through
    /// came from one place only.
    pub fn contradicts(&self, other: &Self) -> Option<Contradiction> {
        let timelines = self.path().map(|(timeline, ..)| timeline);
        let common = timelines.filter(|it| *it == other.timeline || other.left(*it).is_some());
        common.filter(|it| *it > 1).find_map(|timeline| {
            let (one, other) = (self.up_to(timeline), other.up_to(timeline));
            (one != other).then_some(Contradiction { timeline })
        })
    }

    /// What came before a timeline that it came through, or before itself.
    fn up_to(&self, timeline: u32) -> &[Fork] {
        let count = self
            .forks
            .iter()
            .take_while(|fork| fork.timeline < timeline);
        self.forks.get(..count.count()).unwrap_or_default()
    }
}

/// Two histories say that a timeline came from different places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contradiction {
    /// The timeline.
    pub timeline: u32,
}

/// A line: a decimal number, a place, and a reason that does not matter, with white space between them.
fn fork(line: &[u8]) -> Option<Fork> {
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    let mut word = || std::str::from_utf8(words.next()?).ok();
    let timeline = word()?;
    let digits = timeline.bytes().all(|byte| byte.is_ascii_digit());
    let timeline = timeline.parse().ok().filter(|it| digits && *it > 0)?;
    let at = word()?.parse().ok()?;
    Some(Fork { timeline, at })
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoText => f.write_str("it is longer than any history"),
            Self::Line(line) => write!(f, "line {line} is no timeline and place"),
            Self::Order(line) => {
                write!(
                    f,
                    "the timeline in line {line} is not greater than the one before"
                )
            }
            Self::Own => f.write_str("it descends from a timeline that is not lower"),
            Self::Place(line) => {
                write!(f, "the place in line {line} is before the one before")
            }
            Self::Empty => f.write_str("it names no timeline"),
        }
    }
}

impl std::error::Error for HistoryError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn history(timeline: u32, text: &str) -> History {
        History::parse(timeline, text.as_bytes()).unwrap()
    }

    #[test]
    fn a_history_is_read_as_postgresql_writes_it() {
        let text = "1\t0/3000000\tno recovery target specified\n\n2\t0/A0000D8\tat restore point \"caf\u{e9}\"\n";
        let history = history(3, text);
        let wanted = [(1, 0x300_0000), (2, 0xA00_00D8)];
        let wanted = wanted.map(|(timeline, at)| Fork {
            timeline,
            at: Lsn(at),
        });
        assert_eq!(history.forks(), wanted);
        assert_eq!(history.left(1), Some(Lsn(0x300_0000)));
        assert_eq!((history.left(3), history.left(4)), (None, None));
        assert_eq!(history.begins(), Lsn(0xA00_00D8));
        let path: Vec<_> = history.path().collect();
        assert_eq!(
            path,
            [
                (1, Lsn(0), Some(Lsn(0x300_0000))),
                (2, Lsn(0x300_0000), Some(Lsn(0xA00_00D8))),
                (3, Lsn(0xA00_00D8), None),
            ]
        );
    }

    #[test]
    fn a_reason_may_be_of_any_bytes_and_comments_do_not_count() {
        let text = b"# comment\r\n1\t0/3000000\tat restore point \"\xe9\xff\"\r\n";
        let history = History::parse(2, text).unwrap();
        assert_eq!(history.left(1), Some(Lsn(0x300_0000)));
    }

    #[test]
    fn what_is_no_history_is_refused() {
        for (text, wanted) in [
            ("", HistoryError::Empty),
            ("# x\n", HistoryError::Empty),
            ("1\n", HistoryError::Line(1)),
            ("1\t0/0\tx\nx\t0/1\n", HistoryError::Line(2)),
            ("+1\t0/0\tx\n", HistoryError::Line(1)),
            ("0\t0/0\tx\n", HistoryError::Line(1)),
            ("1\t0/0/0\tx\n", HistoryError::Line(1)),
            ("2\t0/1\tx\n1\t0/2\ty\n", HistoryError::Order(2)),
            ("1\t0/2\tx\n2\t0/1\ty\n", HistoryError::Place(2)),
            ("5\t0/1\tx\n", HistoryError::Own),
        ] {
            assert_eq!(History::parse(5, text.as_bytes()), Err(wanted), "{text:?}");
        }
        let long = vec![b'\n'; MOST + 1];
        assert_eq!(History::parse(5, &long), Err(HistoryError::NoText));
    }

    #[test]
    fn a_contradiction_is_found() {
        let two = history(2, "1\t0/3000000\tx\n");
        let three = history(3, "1\t0/3000000\ty\n2\t0/4000000\tz\n");
        let beside = history(3, "1\t0/2000000\ty\n");
        let wrong = history(4, "1\t0/3000001\tx\n2\t0/4000000\tz\n");
        assert_eq!(two.contradicts(&three), None);
        assert_eq!(three.contradicts(&two), None);
        // It left timeline 1 earlier, and does not come through 2.
        assert_eq!(beside.contradicts(&two), None);
        let contradiction = Some(Contradiction { timeline: 2 });
        assert_eq!(wrong.contradicts(&two), contradiction);
        assert_eq!(two.contradicts(&wrong), contradiction);
        assert_eq!(wrong.contradicts(&three), contradiction);
        // Two promotions to one timeline.
        assert_eq!(
            beside.contradicts(&three),
            Some(Contradiction { timeline: 3 })
        );
        assert_eq!(three.contradicts(&three.clone()), None);
    }

    proptest! {
        #[test]
        fn no_text_is_too_much_for_it(timeline: u32, text: Vec<u8>) {
            let _ = History::parse(timeline, &text);
        }

        #[test]
        fn a_history_never_contradicts_what_it_came_from(steps in proptest::collection::vec((1..5_u32, 0..1000_u64), 1..8)) {
            let (mut timeline, mut at, mut text) = (1, 0, String::new());
            let mut all = vec![History::alone(1)];
            for (more, further) in steps {
                at += further;
                text += &format!("{timeline}\t{}\treason\n", Lsn(at));
                timeline += more;
                all.push(history(timeline, &text));
            }
            for one in &all {
                for other in &all {
                    prop_assert_eq!(one.contradicts(other), None);
                }
            }
        }
    }
}
