//! What older dumps say of databases among the roles, before the databases' own parts.

use std::mem;

use pg_text::PgText;

use crate::cli::Args;
use crate::edit::{Definition, Tally};
use crate::server::target::Target;
use crate::source::selection::is_wanted;

/// Takes out the definitions of one database.
pub(crate) fn its_own(definitions: &mut Vec<Definition>, target: &Target) -> Vec<Definition> {
    let all = mem::take(definitions);
    let its = |it: &Definition| Some(&it.database) == target.from.as_ref();
    let (its, others) = all.into_iter().partition(its);
    *definitions = others;
    its
}

/// Databases that are created among the roles, and have no part of their own because they are empty.
pub(crate) fn undivided(definitions: &[Definition], args: &Args) -> Vec<PgText> {
    let created = definitions.iter().filter(|it| it.creates());
    let names = created.map(|it| it.database.clone());
    names
        .filter(|name| args.databases() && is_wanted(args, None, name))
        .collect()
}

/// The tally of statements about databases that have no part in the backup.
pub(crate) fn unplaced(definitions: Vec<Definition>, args: &Args) -> Tally {
    let mut tally = Tally::default();
    for Definition { database, .. } in definitions {
        tally.received();
        match args.databases() && is_wanted(args, None, &database) {
            true => tally.leave_out(
                format!("what is said about the database '{database}'"),
                "the backup has no part of that database",
            ),
            false => tally.not_asked_for(),
        }
    }
    tally
}
