//! What became of a dump's statements.

use job::Error;

/// Something that was not restored, or not as the backup has it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Deviation {
    /// `role 'bob'`.
    pub(crate) what: String,
    pub(crate) why: String,
    /// How many statements of the backup.
    pub(crate) statements: u64,
}

/// Counts statements by what became of them: every statement that is read is sent to the server, or left out and reported, or
/// was not asked for. [`Tally::check`] finds out if one was lost.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Tally {
    read: u64,
    sent: u64,
    left_out: u64,
    not_asked_for: u64,
    /// Handed on by the part that read it, to the part that it is about.
    #[serde(skip)]
    handed_on: u64,
    #[serde(skip)]
    received: u64,
    #[serde(skip)]
    skipped: Vec<Deviation>,
    #[serde(skip)]
    changed: Vec<Deviation>,
}

impl Tally {
    /// A statement was read.
    pub(crate) fn read(&mut self) {
        self.read += 1;
    }

    /// It was sent to the server.
    pub(crate) fn sent(&mut self) {
        self.sent += 1;
    }

    /// It was handed on to another part.
    pub(crate) fn handed_on(&mut self) {
        self.handed_on += 1;
    }

    /// It came from another part, which had read it.
    pub(crate) fn received(&mut self) {
        self.received += 1;
    }

    /// It belongs to what the command line did not ask for.
    pub(crate) fn not_asked_for(&mut self) {
        self.not_asked_for += 1;
    }

    /// It names a role, and `--no-owners` is given. Such statements are counted, not listed.
    pub(crate) fn without_owner(&mut self) {
        self.left_out += 1;
    }

    /// It was left out.
    pub(crate) fn leave_out(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.left_out += 1;
        list(&mut self.skipped, Deviation::one(what, why));
    }

    /// It was sent, and has another effect than in the backup.
    pub(crate) fn change(&mut self, what: impl Into<String>, why: impl Into<String>) {
        list(&mut self.changed, Deviation::one(what, why));
    }

    /// Adds another part's tally.
    pub(crate) fn add(&mut self, other: Self) {
        self.read += other.read;
        self.sent += other.sent;
        self.left_out += other.left_out;
        self.not_asked_for += other.not_asked_for;
        self.handed_on += other.handed_on;
        self.received += other.received;
        for skipped in other.skipped {
            list(&mut self.skipped, skipped);
        }
        for changed in other.changed {
            list(&mut self.changed, changed);
        }
    }

    /// What was left out. The same thing is listed once.
    pub(crate) fn skipped(&self) -> &[Deviation] {
        &self.skipped
    }

    /// What was changed. The same thing is listed once.
    pub(crate) fn changed(&self) -> &[Deviation] {
        &self.changed
    }

    /// How many statements were sent.
    pub(crate) fn count_sent(&self) -> u64 {
        self.sent
    }

    /// Checks the tallies of all parts, added up.
    ///
    /// # Errors
    /// A statement was lost: it was read, and nothing became of it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_balanced() && self.handed_on == self.received {
            return Ok(());
        }
        let Self {
            read,
            sent,
            left_out,
            not_asked_for,
            ..
        } = self;
        Err(Error::failed(format!(
            "the backup has {read} statements, and some of them were lost: {sent} were sent to the server, {left_out} left out, {not_asked_for} not asked for"
        ))
        .hint("this is a fault of restore-stream: please report it; gunzip -c BACKUP | psql restores with plain tools"))
    }

    /// Whether no statement of this part was lost.
    pub(super) fn is_balanced(&self) -> bool {
        let gone = self.sent + self.left_out + self.not_asked_for + self.handed_on;
        self.read + self.received == gone
    }
}

impl Deviation {
    fn one(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            why: why.into(),
            statements: 1,
        }
    }
}

fn list(all: &mut Vec<Deviation>, skipped: Deviation) {
    let mut listed = all.iter_mut();
    match listed.find(|it| it.what == skipped.what && it.why == skipped.why) {
        Some(same) => same.statements += skipped.statements,
        None => all.push(skipped),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_statement_is_an_error() {
        let mut tally = Tally::default();
        (0..5).for_each(|_| tally.read());
        tally.sent();
        tally.leave_out("role 'x'", "it is there");
        tally.without_owner();
        tally.not_asked_for();
        let said = tally.check().unwrap_err().to_string();
        assert!(said.contains("has 5 statements"), "{said}");
        tally.sent();
        assert_eq!(tally.check(), Ok(()));
    }

    #[test]
    fn what_is_handed_on_must_be_received() {
        let (mut from, mut to) = (Tally::default(), Tally::default());
        from.read();
        from.handed_on();
        assert!(from.check().is_err());
        to.received();
        from.add(to.clone());
        assert!(from.check().is_err());
        to = Tally::default();
        to.sent();
        from.add(to);
        assert_eq!(from.check(), Ok(()));
    }

    #[test]
    fn the_same_thing_is_listed_once() {
        let mut tally = Tally::default();
        tally.leave_out("role 'x'", "it is there");
        let mut other = Tally::default();
        other.leave_out("role 'x'", "it is there");
        other.leave_out("role 'y'", "it is there");
        tally.add(other);
        let statements: Vec<u64> = tally.skipped().iter().map(|it| it.statements).collect();
        assert_eq!(statements, [2, 1]);
        assert_eq!(tally.left_out, 3);
    }
}
