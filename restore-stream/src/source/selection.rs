//! Which databases of a backup are asked for.

use backup_file::{Index, Section, SectionKind};
use job::Error;
use pg_text::PgText;

use crate::cli::Args;

/// The parts of a backup with an index that are asked for, and their databases' names.
///
/// # Errors
/// The command line names a database that the backup does not have.
pub(crate) fn wanted<'a>(
    index: &'a Index,
    label: &str,
    args: &Args,
) -> Result<Vec<(&'a Section, &'a PgText)>, Error> {
    check_exclusions(index, args)?;
    let all = databases(index).filter(|(_, name)| is_wanted(args, Some(index), name));
    let wanted: Vec<_> = all.filter(|_| args.databases()).collect();
    match &args.database {
        Some(name) if wanted.is_empty() => Err(no_such_database(label, index, name)),
        _ => Ok(wanted),
    }
}

/// Whether a database of the backup is asked for. A name that is not UTF-8 can be given as it is shown, if no database
/// of the `index` has that name itself.
pub(crate) fn is_wanted(args: &Args, index: Option<&Index>, name: &PgText) -> bool {
    let is = |given: &PgText| match index.and_then(|index| index.database(given)) {
        Some(_) => name == given,
        None => name.is_meant_by(given),
    };
    match &args.database {
        Some(wanted) => is(wanted),
        None => !args.exclude_database.iter().any(is),
    }
}

/// The databases of a backup, in its order.
pub(crate) fn databases(index: &Index) -> impl Iterator<Item = (&Section, &PgText)> {
    let sections = index.sections.iter();
    sections.filter_map(|section| match &section.kind {
        SectionKind::Database(name) => Some((section, name)),
        _ => None,
    })
}

fn check_exclusions(index: &Index, args: &Args) -> Result<(), Error> {
    let names = names(index);
    let unknown = |given: &&PgText| !names.iter().any(|name| name.is_meant_by(given));
    match args.exclude_database.iter().find(unknown) {
        Some(name) => Err(Error::usage(format!(
            "there is no database '{name}' in the backup to leave out"
        ))
        .hint(format!("it has {}", quoted(&names)))),
        None => Ok(()),
    }
}

pub(crate) fn no_such_database(label: &str, index: &Index, name: &PgText) -> Error {
    not_among(name, label, &names(index))
}

/// The error of a database that a backup does not have.
pub(crate) fn not_among(name: &PgText, label: &str, names: &[PgText]) -> Error {
    let error = Error::failed(format!("there is no database '{name}' in '{label}'"));
    match names {
        [] => error.hint("it has none, or does not say their names"),
        _ => error.hint(format!("it has {}", quoted(names))),
    }
}

fn names(index: &Index) -> Vec<PgText> {
    databases(index).map(|(_, name)| name.clone()).collect()
}

fn quoted(names: &[PgText]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    names.join(", ")
}
