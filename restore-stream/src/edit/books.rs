//! What became of a dump's statements.

use job::Error;

/// Something of a backup that was not restored, or not as it says, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Skipped {
    /// `role 'bob'`.
    pub(crate) what: String,
    /// Why.
    pub(crate) why: String,
    /// How many statements that were.
    pub(crate) statements: u64,
}

/// Every statement that was read was sent to the server, was left out and is reported, or was not asked for.
/// [`Books::check`] says if one was lost on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Books {
    read: u64,
    sent: u64,
    left_out: u64,
    not_asked_for: u64,
    /// By the part that read it, to the part that it is about.
    #[serde(skip)]
    handed_on: u64,
    #[serde(skip)]
    received: u64,
    #[serde(skip)]
    skipped: Vec<Skipped>,
    #[serde(skip)]
    changed: Vec<Skipped>,
}

impl Books {
    /// A statement came.
    pub(crate) fn read(&mut self) {
        self.read += 1;
    }

    /// The server gets it.
    pub(crate) fn sent(&mut self) {
        self.sent += 1;
    }

    /// Another part is to have it.
    pub(crate) fn handed_on(&mut self) {
        self.handed_on += 1;
    }

    /// It was read by another part.
    pub(crate) fn received(&mut self) {
        self.received += 1;
    }

    /// It belongs to what the command line did not ask for.
    pub(crate) fn not_asked_for(&mut self) {
        self.not_asked_for += 1;
    }

    /// It names a role, and no roles are wanted: these are counted, not listed.
    pub(crate) fn without_owner(&mut self) {
        self.left_out += 1;
    }

    /// The server does not get it.
    pub(crate) fn leave_out(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.left_out += 1;
        list(&mut self.skipped, Skipped::one(what, why));
    }

    /// The server gets it, and it means something else there.
    pub(crate) fn change(&mut self, what: impl Into<String>, why: impl Into<String>) {
        list(&mut self.changed, Skipped::one(what, why));
    }

    /// Takes another part's books over.
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

    /// What was left out, the same thing once.
    pub(crate) fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// What was changed, the same thing once.
    pub(crate) fn changed(&self) -> &[Skipped] {
        &self.changed
    }

    /// How many statements the server got.
    pub(crate) fn count_sent(&self) -> u64 {
        self.sent
    }

    /// Whether nothing is missing when all parts are together.
    ///
    /// # Errors
    /// A statement was read of which it is not known what became of it.
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
            "the backup has {read} statements, and what became of all of them is not known: {sent} were sent to the server, {left_out} left out, {not_asked_for} not asked for"
        ))
        .hint("this is a fault of restore-stream: please report it; gunzip -c BACKUP | psql restores with plain tools"))
    }

    /// Whether this part knows what became of each of its statements.
    pub(super) fn is_balanced(&self) -> bool {
        let gone = self.sent + self.left_out + self.not_asked_for + self.handed_on;
        self.read + self.received == gone
    }
}

impl Skipped {
    fn one(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            why: why.into(),
            statements: 1,
        }
    }
}

fn list(all: &mut Vec<Skipped>, skipped: Skipped) {
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
        let mut books = Books::default();
        (0..5).for_each(|_| books.read());
        books.sent();
        books.leave_out("role 'x'", "it is there");
        books.without_owner();
        books.not_asked_for();
        let said = books.check().unwrap_err().to_string();
        assert!(said.contains("has 5 statements"), "{said}");
        books.sent();
        assert_eq!(books.check(), Ok(()));
    }

    #[test]
    fn what_is_handed_on_must_be_received() {
        let (mut from, mut to) = (Books::default(), Books::default());
        from.read();
        from.handed_on();
        assert!(from.check().is_err());
        to.received();
        from.add(to.clone());
        assert!(from.check().is_err());
        to = Books::default();
        to.sent();
        from.add(to);
        assert_eq!(from.check(), Ok(()));
    }

    #[test]
    fn the_same_thing_is_listed_once() {
        let mut books = Books::default();
        books.leave_out("role 'x'", "it is there");
        let mut other = Books::default();
        other.leave_out("role 'x'", "it is there");
        other.leave_out("role 'y'", "it is there");
        books.add(other);
        let statements: Vec<u64> = books.skipped().iter().map(|it| it.statements).collect();
        assert_eq!(statements, [2, 1]);
        assert_eq!(books.left_out, 3);
    }
}
