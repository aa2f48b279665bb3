//! What becomes of the statements among the roles of a dump.

use std::collections::BTreeSet;

use dump_text::{Named, ObjectKind, Subject, Verb, is_setting, subject, tokens};
use job::Error;
use pg_text::PgText;

use super::super::guard::foreign;
use crate::server::name_converter::NameConverter;

const NOTHING_IS_DROPPED: &str = "nothing that is there is dropped by a dump";
const NOT_WHOEVER_RESTORES: &str = "a backup does not change the role that restores it";
/// Keywords in the place of a role's name (PostgreSQL's grammar, `RoleSpec`).
const WHOEVER_RESTORES: [&str; 3] = ["current_user", "current_role", "session_user"];

/// What becomes of a statement.
pub(super) enum Verdict {
    Keep,
    /// What is left out, and why.
    LeaveOut(String, &'static str),
    ForDatabase(PgText),
}

/// What the server has already. It is left as it is.
#[derive(Debug)]
pub(super) struct Existing {
    pub(super) roles: BTreeSet<PgText>,
    pub(super) tablespaces: BTreeSet<PgText>,
    /// What the dump's names are on the server.
    pub(super) names: NameConverter,
    /// Whether existing roles get the attributes and passwords of the dump.
    pub(super) role_passwords: bool,
}

impl Existing {
    /// Whether the server has a name of the dump.
    fn is_among(&self, existing: &BTreeSet<PgText>, name: &PgText, encoding: Option<&str>) -> bool {
        let name = self.names.on_server(name, encoding);
        name.is_some_and(|name| existing.contains(&name))
    }

    /// What becomes of a statement. Names in it are written in `encoding`.
    ///
    /// # Errors
    /// No dump has such a statement among its roles.
    pub(super) fn judge(&self, statement: &[u8], encoding: Option<&str>) -> Result<Verdict, Error> {
        if let Some(about) = subject(statement) {
            return Ok(self.judge_subject(&about, statement, encoding));
        }
        match is_global(statement) {
            true if names_whoever_restores(statement) => Ok(Verdict::LeaveOut(
                "what names CURRENT_USER".into(),
                NOT_WHOEVER_RESTORES,
            )),
            true => Ok(Verdict::Keep),
            false => Err(foreign("statements before it says of which database")),
        }
    }

    fn judge_subject(&self, about: &Subject, statement: &[u8], encoding: Option<&str>) -> Verdict {
        if let Some(database) = about.database() {
            return match about.verb {
                Verb::Drop => Verdict::LeaveOut(
                    format!("DROP DATABASE '{}'", database.name),
                    NOTHING_IS_DROPPED,
                ),
                _ => Verdict::ForDatabase(database.name.clone()),
            };
        }
        let name = &about.name.name;
        if about.kind == ObjectKind::Role && is_whoever_restores(&about.name, statement) {
            let what = format!("role {}", name.to_string().to_uppercase());
            return Verdict::LeaveOut(what, NOT_WHOEVER_RESTORES);
        }
        let (noun, exists) = match about.kind {
            ObjectKind::Role => ("role", self.is_among(&self.roles, name, encoding)),
            _ => (
                "tablespace",
                self.is_among(&self.tablespaces, name, encoding),
            ),
        };
        let stays = exists && !(about.kind == ObjectKind::Role && self.role_passwords);
        let what = format!("{noun} '{name}'");
        match about.verb {
            Verb::Alter if exists && renames(about, statement) => {
                Verdict::LeaveOut(format!("RENAME of {what}"), "it is there")
            }
            // What pg_dumpall --clean begins with.
            Verb::Drop => Verdict::LeaveOut(format!("DROP of {what}"), NOTHING_IS_DROPPED),
            Verb::Create | Verb::Alter | Verb::Comment | Verb::SecurityLabel if stays => {
                Verdict::LeaveOut(what, "it is there, and is left as it is")
            }
            Verb::Create if exists => {
                Verdict::LeaveOut(what, "it is there; it gets the backup's attributes")
            }
            _ => Verdict::Keep,
        }
    }
}

/// Whether a role's name is `CURRENT_USER` or the like. In quotes these are ordinary names.
fn is_whoever_restores(role: &Named, statement: &[u8]) -> bool {
    statement.get(role.at.start) != Some(&b'"') && WHOEVER_RESTORES.contains(&role.name.ascii())
}

fn renames(about: &Subject, statement: &[u8]) -> bool {
    let mut words = tokens(&statement[about.name.at.end..]);
    words.next().is_some_and(|word| word.token.is("rename"))
}

/// Whether a membership is given to, or by, `CURRENT_USER` or the like.
fn names_whoever_restores(statement: &[u8]) -> bool {
    let mut words = tokens(statement).map(|spanned| spanned.token);
    words.any(|word| WHOEVER_RESTORES.iter().any(|it| word.is(it)))
}

/// Whether a statement belongs among the roles although it is about none of them: settings, memberships, privileges on
/// parameters, settings of all roles.
fn is_global(statement: &[u8]) -> bool {
    let mut words = tokens(statement).map(|spanned| spanned.token);
    match words.next() {
        Some(word) if word.is("grant") || word.is("revoke") => true,
        Some(word) if word.is("alter") => words.next().is_some_and(|word| word.is("role")),
        _ => is_setting(statement),
    }
}
