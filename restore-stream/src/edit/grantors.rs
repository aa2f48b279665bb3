//! Which role has granted a membership, and which role can be named as the grantor on this server.
//!
//! PostgreSQL 16 and newer accept a grantor only if it could have granted the membership: it has the ADMIN OPTION, or it is
//! the first superuser, the one that initdb made. The first superuser may have another name here than on the server that
//! was dumped, and dumps of older servers name grantors that can no longer grant.

use std::collections::BTreeSet;
use std::mem;
use std::ops::Range;

use dump_text::{Spanned, Token, tokens};
use pg_text::PgText;

use super::context::Context;
use crate::server::facts::Grantors;

/// The first major version that checks whether a grantor could have granted.
const STRICT: u32 = 16;
/// Waiting memberships take at most this many bytes.
const WAITING_LIMIT: usize = 16 << 20;

/// `GRANT role TO member … GRANTED BY grantor`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Membership {
    roles: Vec<PgText>,
    members: Vec<PgText>,
    admin: bool,
    grantor: Option<Grantor>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Grantor {
    name: PgText,
    /// Where `GRANTED BY name` stands in the statement.
    at: Range<usize>,
}

/// A statement that grants a membership, with its place in the dump and the settings that it was written under.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) statement: Vec<u8>,
    pub(super) context: Context,
    pub(super) line: u64,
}

#[derive(Debug)]
struct Waiting {
    membership: Membership,
    given: Given,
}

/// Says that another role grants than in the dump, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) what: String,
    pub(super) why: String,
}

/// Puts memberships in an order in which each grantor can grant. A membership whose grantor cannot grant yet waits for the
/// one that gives it the ADMIN OPTION; if that never comes, it loses its grantor.
#[derive(Debug, Default)]
pub(super) struct Memberships {
    grantors: Grantors,
    waiting: Vec<Waiting>,
    /// The size of the waiting statements, in bytes.
    size: usize,
}

impl Memberships {
    pub(super) fn new(grantors: Grantors) -> Self {
        Self {
            grantors,
            ..Self::default()
        }
    }

    /// Takes a statement, which may grant a membership, and returns the statements that can be sent now.
    pub(super) fn take(&mut self, given: Given) -> Vec<(Given, Option<Change>)> {
        let Some(membership) = membership(&given.statement) else {
            return vec![(given, None)];
        };
        if !self.grantors.superuser && membership.grantor.is_some() {
            return vec![self.without_grantor(Waiting { membership, given })];
        }
        if self.can_grant(&membership) {
            self.granted(&membership);
            return vec![(given, None)];
        }
        self.size += given.statement.len();
        self.waiting.push(Waiting { membership, given });
        match self.size > WAITING_LIMIT {
            true => self.rest(),
            false => Vec::new(),
        }
    }

    /// No more memberships come: returns those that wait, in their order.
    pub(super) fn rest(&mut self) -> Vec<(Given, Option<Change>)> {
        let mut all = Vec::new();
        self.size = 0;
        while !self.waiting.is_empty() {
            let before = all.len();
            for waiting in mem::take(&mut self.waiting) {
                match self.can_grant(&waiting.membership) {
                    true => {
                        self.granted(&waiting.membership);
                        all.push((waiting.given, None));
                    }
                    false => self.waiting.push(waiting),
                }
            }
            if all.len() == before {
                let hopeless = self.hopeless();
                all.extend(hopeless.into_iter().map(|it| self.without_grantor(it)));
            }
        }
        all
    }

    /// Takes out those whose grantor no waiting membership enables to grant. If all wait for each other, the first one.
    fn hopeless(&mut self) -> Vec<Waiting> {
        let mut promised = BTreeSet::new();
        for Waiting { membership, .. } in self.waiting.iter().filter(|it| it.membership.admin) {
            promised.extend(membership.pairs());
        }
        let waits = |waiting: &Waiting| waiting.membership.needs().all(|it| promised.contains(&it));
        let all = mem::take(&mut self.waiting);
        let (mut waiting, mut hopeless): (Vec<_>, Vec<_>) = all.into_iter().partition(waits);
        if hopeless.is_empty() {
            hopeless.push(waiting.remove(0));
        }
        self.waiting = waiting;
        hopeless
    }

    fn can_grant(&self, membership: &Membership) -> bool {
        let Grantors {
            server,
            first,
            admins,
            ..
        } = &self.grantors;
        let is_first = |grantor: &Grantor| grantor.name == *first;
        *server < STRICT
            || membership.grantor.as_ref().is_none_or(is_first)
            || membership.needs().all(|it| admins.contains(&it))
    }

    fn granted(&mut self, membership: &Membership) {
        if membership.admin {
            self.grantors.admins.extend(membership.pairs());
        }
    }

    /// The role that restores grants it instead; for a superuser, the server makes that the first superuser.
    fn without_grantor(&mut self, waiting: Waiting) -> (Given, Option<Change>) {
        let Waiting {
            membership,
            mut given,
        } = waiting;
        self.granted(&membership);
        let change = membership.grantor.map(|Grantor { name, at }| {
            let kept = given.statement[..at.start].trim_ascii_end().len();
            given.statement.drain(kept..at.end);
            Change {
                what: format!("memberships that '{name}' has granted"),
                why: self.why(&name),
            }
        });
        (given, change)
    }

    fn why(&self, grantor: &PgText) -> String {
        let Grantors { first, own, .. } = &self.grantors;
        match self.grantors.superuser {
            true => format!(
                "here '{first}', the first superuser, grants them: '{grantor}' has no ADMIN OPTION on those roles"
            ),
            false => format!("here '{own}' grants them: only a superuser can name another"),
        }
    }
}

impl Membership {
    /// Each role with each member.
    fn pairs(&self) -> impl Iterator<Item = (PgText, PgText)> + '_ {
        let of = |role: &'_ PgText| {
            let role = role.clone();
            let members = self.members.iter();
            members.map(move |member| (role.clone(), member.clone()))
        };
        self.roles.iter().flat_map(of)
    }

    /// Each role with the grantor.
    fn needs(&self) -> impl Iterator<Item = (PgText, PgText)> + '_ {
        let grantor = self.grantor.iter();
        grantor.flat_map(|grantor| {
            let roles = self.roles.iter();
            roles.map(|role| (role.clone(), grantor.name.clone()))
        })
    }
}

/// Reads `GRANT a, b TO c [WITH …] [GRANTED BY d];` (PostgreSQL's grammar, `GrantRoleStmt`). None if it is another
/// statement, such as a grant of privileges `ON` something.
fn membership(statement: &[u8]) -> Option<Membership> {
    let mut words = tokens(statement).peekable();
    if !words.next()?.token.is("grant") {
        return None;
    }
    let (roles, end) = names(&mut words)?;
    if !end.token.is("to") {
        return None;
    }
    let (members, mut next) = names(&mut words)?;
    let mut admin = false;
    if next.token.is("with") {
        next = loop {
            let word = words.next()?;
            if word.token.is("granted") || word.token == Token::Symbol(b';') {
                break word;
            }
            let taken = |it: &Spanned| it.token.is("option") || it.token.is("true");
            admin |= word.token.is("admin") && words.peek().is_some_and(taken);
        };
    }
    let grantor = match next.token.is("granted") {
        true => Some(grantor(next.at.start, &mut words)?),
        false => None,
    };
    Some(Membership {
        roles,
        members,
        admin,
        grantor,
    })
}

/// Reads `BY name`, which follows a `GRANTED` that begins at `start`.
fn grantor(start: usize, words: &mut impl Iterator<Item = Spanned>) -> Option<Grantor> {
    words.next().filter(|it| it.token.is("by"))?;
    let named = words.next()?;
    Some(Grantor {
        name: name(named.token)?,
        at: start..named.at.end,
    })
}

/// Reads names that are separated by commas, and the token after them.
fn names(words: &mut impl Iterator<Item = Spanned>) -> Option<(Vec<PgText>, Spanned)> {
    let mut names = Vec::new();
    loop {
        names.push(name(words.next()?.token)?);
        let next = words.next()?;
        if next.token != Token::Symbol(b',') {
            return Some((names, next));
        }
    }
}

fn name(token: Token) -> Option<PgText> {
    match token {
        Token::Word(name) | Token::Name(name) => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memberships(server: u32, superuser: bool) -> Memberships {
        let admins = [("old".into(), "ann".into())];
        Memberships::new(Grantors {
            server,
            first: "postgres".into(),
            own: "me".into(),
            superuser,
            admins: admins.into(),
        })
    }

    /// What becomes of statements, and of how many the grantor was changed.
    fn done(mut memberships: Memberships, statements: &[&str]) -> (Vec<String>, usize) {
        let mut done = Vec::new();
        for statement in statements {
            done.extend(memberships.take(Given {
                statement: statement.as_bytes().to_vec(),
                context: Context::default(),
                line: 0,
            }));
        }
        done.extend(memberships.rest());
        let changed = done.iter().filter(|(_, change)| change.is_some()).count();
        let text = |(given, _): (Given, _)| String::from_utf8(given.statement).unwrap();
        (done.into_iter().map(text).collect(), changed)
    }

    #[test]
    fn the_first_superuser_of_the_source_is_not_the_one_here() {
        let dump = [
            "GRANT app TO bob WITH INHERIT TRUE GRANTED BY admin;",
            "GRANT reader TO chief WITH ADMIN OPTION, INHERIT TRUE GRANTED BY admin;",
            "GRANT reader TO bob WITH ADMIN OPTION, INHERIT FALSE GRANTED BY chief;",
            "GRANT reader TO ann WITH INHERIT TRUE, SET FALSE GRANTED BY bob;",
            "GRANT old TO bob GRANTED BY ann;",
            "GRANT x TO y GRANTED BY postgres;",
            "GRANT x TO z;",
        ];
        let (done, changed) = done(memberships(16, true), &dump);
        assert_eq!(
            done,
            [
                "GRANT old TO bob GRANTED BY ann;",
                "GRANT x TO y GRANTED BY postgres;",
                "GRANT x TO z;",
                "GRANT app TO bob WITH INHERIT TRUE;",
                "GRANT reader TO chief WITH ADMIN OPTION, INHERIT TRUE;",
                "GRANT reader TO bob WITH ADMIN OPTION, INHERIT FALSE GRANTED BY chief;",
                "GRANT reader TO ann WITH INHERIT TRUE, SET FALSE GRANTED BY bob;",
            ]
        );
        assert_eq!(changed, 2);
    }

    /// pg_dumpall 15 writes them by the names of roles and members.
    #[test]
    fn a_grantor_that_comes_later_is_waited_for() {
        let dump = [
            "GRANT r TO a GRANTED BY b;",
            "GRANT r TO b WITH ADMIN OPTION GRANTED BY \"The \"\"one\"\"\";",
            "GRANT r TO \"The \"\"one\"\"\" WITH ADMIN TRUE GRANTED BY postgres;",
            "GRANT r, s TO c GRANTED BY b;",
        ];
        let (done, changed) = done(memberships(18, true), &dump);
        assert_eq!(done, [dump[2], dump[1], dump[0], "GRANT r, s TO c;"]);
        assert_eq!(changed, 1);
    }

    #[test]
    fn those_that_wait_for_each_other_do_not_wait_for_ever() {
        let dump = [
            "GRANT r TO a WITH ADMIN OPTION GRANTED BY b;",
            "GRANT r TO b WITH ADMIN OPTION GRANTED BY a;",
            "GRANT r TO c WITH ADMIN FALSE GRANTED BY c;",
        ];
        let (done, changed) = done(memberships(16, true), &dump);
        assert_eq!(
            done,
            [
                "GRANT r TO c WITH ADMIN FALSE;",
                "GRANT r TO a WITH ADMIN OPTION;",
                dump[1]
            ]
        );
        assert_eq!(changed, 2);
    }

    #[test]
    fn older_servers_take_any_grantor_and_whoever_is_no_superuser_names_none() {
        let dump = ["GRANT r TO a GRANTED BY admin;"];
        assert_eq!(done(memberships(15, true), &dump).0, dump);
        let (done, changed) = done(memberships(17, false), &dump);
        assert_eq!((done[0].as_str(), changed), ("GRANT r TO a;", 1));
    }

    #[test]
    fn other_statements_are_none() {
        for other in [
            "GRANT SET ON PARAMETER work_mem TO bob GRANTED BY admin;",
            "GRANT ALL ON TABLESPACE fast TO bob;",
            "GRANT;",
            "ALTER ROLE granted;",
            "GRANT a TO b GRANTED admin;",
        ] {
            assert_eq!(membership(other.as_bytes()), None, "{other}");
        }
        let odd = "grant /* x */ \"TO\" , to to \"granted by\" with set true granted by \"WITH\" ;";
        let odd = membership(odd.as_bytes());
        assert_eq!(odd.map(|it| it.roles), Some(vec!["TO".into(), "to".into()]));
    }
}
