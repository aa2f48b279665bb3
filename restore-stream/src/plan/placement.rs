//! Where one database goes.

use job::{Error, text};
use pg_client::quote_ident;
use pg_text::PgText;

use crate::cli::Args;
use crate::server::contents::Contents;
use crate::server::facts::Database;
use crate::server::look::Wanted;
use crate::server::names::{NAME_LIMIT, NewNames};
use crate::server::survey::Survey;
use crate::server::target::{Destination, Replaced, Target, Transactions};

/// These databases are restored in place: other programs connect to them, and CREATE DATABASE copies one of them.
pub(super) const MAINTENANCE: [&str; 2] = ["postgres", "template1"];

/// Decides where one database goes.
///
/// # Errors
/// Something on the server stands in the way (exit code 4).
pub(crate) fn target(
    wanted: &Wanted,
    survey: &Survey,
    names: &mut NewNames,
    args: &Args,
) -> Result<Target, Error> {
    let Wanted { from, name, there } = wanted;
    check_name(name)?;
    if !names.claim(name) {
        return Err(Error::not_good(format!(
            "the backup has the database '{name}' twice"
        )));
    }
    let target = |destination: Destination, replaced: Replaced| Target {
        from: from.clone(),
        name: name.clone(),
        destination,
        replaced,
    };
    let (Some(look), Some(database)) = (there, survey.database(name)) else {
        survey.check_creation()?;
        let destination = new_database(name, survey, names, args);
        return Ok(target(destination, Replaced::Nothing));
    };
    let empty = look.contents == Contents::Nothing;
    if MAINTENANCE.contains(&name.ascii()) && from.as_ref() == Some(name) {
        let transactions = match args.continues() || args.is_in_place(name) {
            true => Transactions::Several,
            false => Transactions::One,
        };
        return match empty {
            true => Ok(target(
                Destination::InPlace(transactions),
                Replaced::Nothing,
            )),
            false => Err(in_the_way(name, look.contents)),
        };
    }
    if *name == "template0" || MAINTENANCE.contains(&name.ascii()) {
        return Err(Error::refused(format!(
            "the database '{name}' is the server's own, and nothing else can take its place"
        ))
        .hint("--as NAME restores under another name"));
    }
    if !empty {
        refuse_to_replace(wanted, args)?;
    }
    let same = from.as_ref().is_none_or(|from| from == name);
    let worked_in = same && (look.has_worker || survey.insists_on(name));
    if empty && worked_in && is_named_early(name, survey, args) {
        // It is filled as it is, so its extension's worker can stay connected.
        let in_place = Destination::InPlace(Transactions::Several);
        return Ok(target(in_place, Replaced::Nothing));
    }
    refuse_what_keeps_its_name(name, database, survey)?;
    survey.check_creation()?;
    let kept = names.kept(name, |name| survey.databases.contains_key(name));
    Ok(match empty {
        true => {
            let destination = new_database(name, survey, names, args);
            target(destination, Replaced::Empty(kept))
        }
        false => {
            let destination = Destination::Beside(names.working());
            target(destination, Replaced::Kept(kept))
        }
    })
}

/// Where a database goes for which one is created, because there is none, or an empty one.
fn new_database(name: &PgText, survey: &Survey, names: &mut NewNames, args: &Args) -> Destination {
    let working = names.working();
    match is_named_early(name, survey, args) {
        true => Destination::NamedEarly {
            working,
            name: name.clone(),
        },
        false => Destination::Beside(working),
    }
}

fn is_named_early(name: &PgText, survey: &Survey, args: &Args) -> bool {
    args.is_in_place(name) || survey.insists_on(name)
}

fn check_name(name: &PgText) -> Result<(), Error> {
    if name.is_empty() || name.len() > NAME_LIMIT {
        return Err(Error::usage(format!(
            "'{name}' cannot be a database's name: it has 1 to {NAME_LIMIT} bytes"
        )));
    }
    if name.as_bytes().iter().any(|byte| b"\n\r\0".contains(byte)) {
        return Err(Error::usage(
            "a database whose name has a line end cannot be restored",
        ));
    }
    Ok(())
}

fn in_the_way(name: &PgText, contents: Contents) -> Error {
    let error = Error::refused(format!(
        "the database '{name}' is restored in place, and is not empty"
    ));
    if contents == Contents::OnlyLargeObjects {
        return error.hint(format!(
            "it has large objects and nothing else, as a restore that was killed may leave them; if nobody needs them, in '{name}': SELECT lo_unlink(oid) FROM pg_largeobject_metadata LIMIT 100; until there are none"
        ));
    }
    error.hint(format!(
        "leave it out with --exclude-database {name}, or restore it alone with --database {name} --as NAME"
    ))
}

/// Refuses to replace a database that is not empty, unless the command line allows it.
fn refuse_to_replace(wanted: &Wanted, args: &Args) -> Result<(), Error> {
    let Wanted { from, name, .. } = wanted;
    if args.is_in_place(name) {
        return Err(Error::refused(format!(
            "the database '{name}' is there and is not empty: --in-place fills an empty one, or makes it"
        ))
        .hint(format!(
            "give the one that is there another name: ALTER DATABASE {} RENAME TO …",
            quote_ident(name)
        )));
    }
    if !args.replace {
        return Err(Error::refused(format!(
            "the database '{name}' is there and is not empty"
        ))
        .hint(format!(
            "--replace puts the restored one in its place and keeps it under another name; --database '{}' --as NAME restores beside it",
            from.as_ref().unwrap_or(name)
        )));
    }
    Ok(())
}

/// Refuses to replace a database that would not give up its name at the end.
fn refuse_what_keeps_its_name(
    name: &PgText,
    database: &Database,
    survey: &Survey,
) -> Result<(), Error> {
    if *name == survey.maintenance {
        return Err(Error::refused(format!(
            "the database '{name}' is the one that this run is connected to: it cannot be replaced"
        ))
        .hint("name another database with -d, such as postgres"));
    }
    if !database.ours {
        return Err(Error::refused(format!(
            "the database '{name}' belongs to '{}', and only its owner or a superuser can replace it",
            database.owner
        ))
        .hint(format!(
            "restore as one of them, or grant the role '{}' to '{}'",
            database.owner, survey.role.name
        )));
    }
    if database.prepared > 0 {
        return Err(Error::refused(format!(
            "the database '{name}' has {}, and cannot be replaced before they end",
            text::count(
                usize::try_from(database.prepared).unwrap_or(usize::MAX),
                "prepared transaction"
            )
        ))
        .hint("COMMIT PREPARED or ROLLBACK PREPARED ends them: see pg_prepared_xacts"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use clap::Parser;

    use super::*;
    use crate::server::look::Look;
    use crate::server::names::Run;
    use crate::server::survey::tests::survey;

    fn names() -> NewNames {
        let started = DateTime::parse_from_rfc3339("2025-11-23T02:00:00Z").unwrap();
        Run::of(started.to_utc(), "0a1b2c".into()).new_names()
    }

    fn args(options: &[&str]) -> Args {
        Args::parse_from(["restore-stream", "backup.sql.gz"].iter().chain(options))
    }

    fn wanted(name: &str, contents: Option<Contents>) -> Wanted {
        let look = |contents| Look {
            contents,
            has_worker: false,
        };
        Wanted {
            from: Some(name.into()),
            name: name.into(),
            there: contents.map(look),
        }
    }

    const SHOP: &[&str] = &["database", "shop", "keeper", "t", "t", "0"];
    const KILLED: &str = "restoring_20250101_000000_123abc_1";
    const LEFTOVER: &[&str] = &["database", KILLED, "keeper", "t", "t", "0"];

    #[test]
    fn a_database_is_new_or_takes_a_place() {
        let survey = survey(&[SHOP]);
        let of = |contents: Option<Contents>, options: &[&str]| {
            target(
                &wanted("shop", contents),
                &survey,
                &mut names(),
                &args(options),
            )
        };
        let new = target(&wanted("other", None), &survey, &mut names(), &args(&[])).unwrap();
        assert_eq!(new.replaced, Replaced::Nothing);
        let working = "restoring_20251123_020000_0a1b2c_1".into();
        assert_eq!(new.destination, Destination::Beside(working));
        let kept: PgText = "shop_replaced_20251123_020000".into();
        let empty = of(Some(Contents::Nothing), &[]).unwrap();
        assert_eq!(empty.replaced, Replaced::Empty(kept.clone()));
        let full = of(Some(Contents::Something), &["--replace"]).unwrap();
        assert_eq!(full.replaced, Replaced::Kept(kept));
        let refused = of(Some(Contents::Something), &[]).unwrap_err();
        assert_eq!(refused.exit().code(), 4);
    }

    /// It is dropped before anything is restored, so its name is free.
    #[test]
    fn a_leftover_has_no_place() {
        let survey_with = |session: &[&str]| survey(&[LEFTOVER, session]);
        let dead = survey_with(&["session", "restore-stream ffffff"]);
        assert!(dead.leftovers.is_swept(&KILLED.into()));
        let new = target(&wanted(KILLED, None), &dead, &mut names(), &args(&[])).unwrap();
        assert_eq!(new.replaced, Replaced::Nothing);
        let alive = survey_with(&["session", "restore-stream 123abc"]);
        assert!(!alive.leftovers.is_swept(&KILLED.into()));
        let there = wanted(KILLED, Some(Contents::Something));
        let refused = target(&there, &alive, &mut names(), &args(&[])).unwrap_err();
        assert_eq!(refused.exit().code(), 4);
        let kept = [
            "database",
            "shop_replaced_20251123_020000",
            "keeper",
            "t",
            "t",
            "0",
        ];
        let survey = survey(&[SHOP, &kept]);
        let there = wanted("shop", Some(Contents::Something));
        let replaced = target(&there, &survey, &mut names(), &args(&["--replace"])).unwrap();
        let wanted: PgText = "shop_replaced_20251123_020000_2".into();
        assert_eq!(replaced.replaced, Replaced::Kept(wanted));
    }

    #[test]
    fn the_server_s_own_databases() {
        let own = ["database", "postgres", "postgres", "f", "t", "0"];
        let survey = survey(&[&own]);
        let of = |wanted: &Wanted| target(wanted, &survey, &mut names(), &args(&[]));
        let in_place = of(&wanted("postgres", Some(Contents::Nothing))).unwrap();
        let one = Destination::InPlace(Transactions::One);
        assert_eq!(in_place.destination, one);
        let full = of(&wanted("postgres", Some(Contents::OnlyLargeObjects))).unwrap_err();
        assert!(full.hint_text().unwrap().contains("lo_unlink"));
        let other = Wanted {
            from: Some("shop".into()),
            ..wanted("postgres", Some(Contents::Nothing))
        };
        assert!(of(&other).unwrap_err().to_string().contains("server's own"));
    }
}
