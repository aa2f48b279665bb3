//! What of the backup goes where.

use backup_file::{Index, Section, SectionKind};
use job::{Error, say, text};
use pg_client::quote_ident;
use pg_text::PgText;

use crate::choose::Chosen;
use crate::cli::Args;
use crate::edit::{Place, Transactions};
use crate::facts::Database;
use crate::names::NAME_LIMIT;
use crate::preflight::Cluster;
use crate::sessions;

/// They are restored in place: other programs connect to them, and CREATE DATABASE copies one.
const MAINTAINED: [&str; 2] = ["postgres", "template1"];

/// A database of the backup and where it goes.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Its name in the backup; none if the backup does not say it.
    pub(crate) from: Option<PgText>,
    /// Its name when all is done.
    pub(crate) name: PgText,
    pub(crate) place: Place,
    pub(crate) old: Old,
}

/// What has the name now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Old {
    /// Nothing.
    None,
    /// A database with nothing in it, which will be dropped; until then it is called this.
    Empty(PgText),
    /// A database that will be kept under this name.
    Kept(PgText),
}

impl Target {
    /// Decides where the database `from` of the backup goes.
    ///
    /// # Errors
    /// What is there stands in the way (exit code 4).
    pub(crate) fn new(
        cluster: &Cluster,
        args: &Args,
        from: Option<&PgText>,
        name: &PgText,
    ) -> Result<Self, Error> {
        check_name(name)?;
        if !cluster.run.claim(name) {
            return Err(Error::not_good(format!(
                "the backup has the database '{name}' twice"
            )));
        }
        let target = |place: Place, old: Old| Self {
            from: from.cloned(),
            name: name.clone(),
            place,
            old,
        };
        let Some(there) = cluster.databases.get(name) else {
            cluster.check_creation()?;
            return Ok(target(new(cluster, args, name), Old::None));
        };
        if MAINTAINED.contains(&name.ascii()) && from == Some(name) {
            let transactions = match args.continues() || args.is_in_place(name) {
                true => Transactions::Several,
                false => Transactions::One,
            };
            return match cluster.is_empty(name).unwrap_or(false) {
                true => Ok(target(Place::There(transactions), Old::None)),
                false => Err(in_the_way(cluster, name)),
            };
        }
        if *name == "template0" || MAINTAINED.contains(&name.ascii()) {
            return Err(Error::refused(format!(
                "the database '{name}' is the server's own, and nothing else can take its place"
            ))
            .hint("--as NAME restores under another name"));
        }
        let look = cluster.look(name)?;
        if !look.empty && args.is_in_place(name) {
            return Err(Error::refused(format!(
                "the database '{name}' is there and is not empty: --in-place fills an empty one, or makes it"
            ))
            .hint(format!(
                "give the one that is there another name: ALTER DATABASE {} RENAME TO …",
                quote_ident(name)
            )));
        }
        if !look.empty && !args.replace {
            return Err(Error::refused(format!(
                "the database '{name}' is there and is not empty"
            ))
            .hint(format!(
                "--replace puts the restored one in its place and keeps it under another name; --database '{}' --as NAME restores beside it",
                from.unwrap_or(name)
            )));
        }
        let has_workers = look.sessions.iter().any(|session| session.worker);
        let same = from.is_none_or(|from| from == name);
        let worked_in = same && (has_workers || cluster.insists_on(name));
        if look.empty && worked_in && is_early(cluster, args, name) {
            // Its extension's worker stays connected.
            return Ok(target(Place::There(Transactions::Several), Old::None));
        }
        refuse_what_keeps_its_name(cluster, name, there)?;
        cluster.check_creation()?;
        sessions::refuse(cluster, name, look.sessions, args.force_disconnect)?;
        let kept = cluster
            .run
            .replaced(name, |name| cluster.databases.contains_key(name));
        Ok(match look.empty {
            true => target(new(cluster, args, name), Old::Empty(kept)),
            false => target(Place::Beside(cluster.run.working().into()), Old::Kept(kept)),
        })
    }

    /// For the summary.
    pub(crate) fn say(&self) {
        let name = match &self.from {
            Some(from) if *from != self.name => format!("'{from}' as '{}'", self.name),
            _ => format!("'{}'", self.name),
        };
        match (&self.place, &self.old) {
            (Place::There(Transactions::One), _) => {
                say!("database {name}: in place, in one transaction");
            }
            (Place::There(Transactions::Several), _) => say!(
                "database {name}: in place, each statement by itself: if it fails, a part of it stays"
            ),
            (Place::Early(..), Old::None) => {
                say!("database {name}: new, under its name before it is filled");
            }
            (Place::Early(..), _) => say!(
                "database {name}: in the place of an empty one, under its name before it is filled"
            ),
            (_, Old::None) => say!("database {name}: new"),
            (_, Old::Empty(_)) => say!("database {name}: in the place of an empty one"),
            (_, Old::Kept(kept)) => {
                say!("database {name}: in the place of the one that is there, kept as '{kept}'");
            }
        }
    }
}

/// A database that is made, where none is but perhaps an empty one.
fn new(cluster: &Cluster, args: &Args, name: &PgText) -> Place {
    let working = PgText::from(cluster.run.working());
    match is_early(cluster, args, name) {
        true => Place::Early(working, name.clone()),
        false => Place::Beside(working),
    }
}

fn is_early(cluster: &Cluster, args: &Args, name: &PgText) -> bool {
    args.is_in_place(name) || cluster.insists_on(name)
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

fn in_the_way(cluster: &Cluster, name: &PgText) -> Error {
    let error = Error::refused(format!(
        "the database '{name}' is restored in place, and is not empty"
    ));
    if cluster.holds_only_large_objects(name) {
        return error.hint(format!(
            "it has large objects and nothing else, as a restore that was killed may leave them; if nobody needs them, in '{name}': SELECT lo_unlink(oid) FROM pg_largeobject_metadata LIMIT 100; until there are none"
        ));
    }
    error.hint(format!(
        "leave it out with --exclude-database {name}, or restore it alone with --database {name} --as NAME"
    ))
}

/// Refuses to replace a database that would not give its name away when all is restored.
fn refuse_what_keeps_its_name(
    cluster: &Cluster,
    name: &PgText,
    there: &Database,
) -> Result<(), Error> {
    if *name == cluster.maintenance {
        return Err(Error::refused(format!(
            "the database '{name}' is the one that this run is connected to: it cannot be replaced"
        ))
        .hint("name another database with -d, such as postgres"));
    }
    if !there.ours {
        return Err(Error::refused(format!(
            "the database '{name}' belongs to '{}', and only its owner or a superuser can replace it",
            there.owner
        ))
        .hint(format!(
            "restore as one of them, or grant the role '{}' to '{}'",
            there.owner, cluster.role.name
        )));
    }
    if there.prepared > 0 {
        return Err(Error::refused(format!(
            "the database '{name}' has {}, and cannot be replaced before they end",
            text::count(
                usize::try_from(there.prepared).unwrap_or(usize::MAX),
                "prepared transaction"
            )
        ))
        .hint("COMMIT PREPARED or ROLLBACK PREPARED ends them: see pg_prepared_xacts"));
    }
    Ok(())
}

/// The names that a run takes, from those that have them or for the first time, as far as that is known before the
/// backup is read: none where it has no index.
pub(crate) fn taken(index: Option<&Index>, args: &Args) -> Option<Vec<PgText>> {
    let taken = |from: &PgText| {
        let name = args.name.as_ref().unwrap_or(from);
        let in_place = MAINTAINED.contains(&name.ascii()) && name == from;
        (!in_place).then(|| name.clone())
    };
    match (&args.database, index) {
        _ if !args.databases() => Some(Vec::new()),
        (Some(name), _) => Some(taken(name).into_iter().collect()),
        (None, Some(index)) => {
            let all = names(index).into_iter();
            let wanted = all.filter(|it| is_wanted(args, Some(index), it));
            Some(wanted.filter_map(|it| taken(&it)).collect())
        }
        (None, None) => None,
    }
}

/// The parts of a backup with an index that are to be restored.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What comes before the databases: read for what older dumps say there of databases, if for nothing else.
    pub(crate) globals: Option<Section>,
    pub(crate) databases: Vec<(Section, Target)>,
}

impl Plan {
    pub(crate) fn new(
        chosen: &Chosen,
        index: &Index,
        cluster: &Cluster,
        args: &Args,
    ) -> Result<Self, Error> {
        check_exclusions(index, args)?;
        let globals = index
            .sections
            .iter()
            .find(|section| section.kind == SectionKind::Globals);
        let mut databases = Vec::new();
        for section in index.sections.iter().filter(|_| args.databases()) {
            let SectionKind::Database(from) = &section.kind else {
                continue;
            };
            if !is_wanted(args, Some(index), from) {
                continue;
            }
            let name = name_here(cluster, args, from, index.about.encoding.as_deref())?;
            let target = Target::new(cluster, args, Some(from), &name)?;
            databases.push((section.clone(), target));
        }
        if let (Some(name), []) = (&args.database, databases.as_slice()) {
            return Err(no_such_database(chosen, index, name));
        }
        check_in_place(&databases, args)?;
        Ok(Self {
            globals: globals.cloned(),
            databases,
        })
    }

    /// Whether any database is restored beside its name.
    pub(crate) fn has_beside(&self) -> bool {
        self.count(|place| !place.is_in_place()) > 0
    }

    /// How many sessions it needs at once: those that load, the one that keeps watch, and the one that asks.
    pub(crate) fn connections(&self, jobs: usize) -> usize {
        let beside = self.count(|place| !place.is_in_place());
        let in_place = self.databases.len() - beside;
        // Large objects in place have a session of their own, before others begin.
        let aside = self.databases.iter().any(|(section, target)| {
            let contents = section.contents.as_ref();
            target.place == Place::There(Transactions::One)
                && contents.is_some_and(|it| it.large_objects > 0)
        });
        2 + in_place + jobs.min(beside).max(usize::from(aside))
    }

    fn count(&self, is: impl Fn(&Place) -> bool) -> usize {
        let places = self.databases.iter().map(|(_, target)| &target.place);
        places.filter(|place| is(place)).count()
    }

    /// How many bytes of SQL it is.
    pub(crate) fn sql_length(&self) -> u64 {
        let sections = self.databases.iter().map(|(section, _)| section);
        let all = sections.chain(&self.globals);
        all.map(|section| section.sql_length).sum()
    }
}

/// The name that a database of the backup gets, whose own is written in `encoding`.
///
/// # Errors
/// It has none on this server (exit code 4).
pub(crate) fn name_here(
    cluster: &Cluster,
    args: &Args,
    from: &PgText,
    encoding: Option<&str>,
) -> Result<PgText, Error> {
    let own = || cluster.names.here(from, encoding);
    args.name.clone().or_else(own).ok_or_else(|| {
        let encoding = encoding.unwrap_or("another encoding");
        Error::refused(format!(
            "the name '{from}', in {encoding}, is no name in the encoding of this server's database '{}'",
            cluster.maintenance
        ))
        .hint(format!(
            "--database '{from}' --as NAME restores it under another name; all have their own on a server made with initdb --encoding={encoding}"
        ))
    })
}

/// Whether a database of the backup is to be restored. A name that is not UTF-8 can be given as it is shown, if no database
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

/// A name that is none would be restored beside its own.
fn check_in_place(databases: &[(Section, Target)], args: &Args) -> Result<(), Error> {
    let unknown = |name: &&PgText| {
        databases
            .iter()
            .all(|(_, target)| !target.name.is_meant_by(name))
    };
    match args.in_place.iter().find(unknown) {
        Some(name) => Err(Error::usage(format!(
            "no database '{name}' is restored, in place or otherwise"
        ))),
        None => Ok(()),
    }
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

pub(crate) fn no_such_database(chosen: &Chosen, index: &Index, name: &PgText) -> Error {
    not_among(name, &chosen.label(), &names(index))
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
    let databases = index
        .sections
        .iter()
        .filter_map(|section| match &section.kind {
            SectionKind::Database(name) => Some(name.clone()),
            _ => None,
        });
    databases.collect()
}

fn quoted(names: &[PgText]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    names.join(", ")
}
