//! What of the backup goes where.

use backup_file::{Index, Section, SectionKind};
use job::{Error, say, text};

use crate::choose::Chosen;
use crate::cli::Args;
use crate::edit::Place;
use crate::names::NAME_LIMIT;
use crate::preflight::Cluster;

/// A database of the backup and where it goes.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Its name in the backup; none if the backup does not say it.
    pub(crate) from: Option<String>,
    /// Its name when all is done.
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) old: Old,
}

/// What has the name now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Old {
    /// Nothing.
    None,
    /// A database with nothing in it, which will be dropped; until then it is called this.
    Empty(String),
    /// A database that will be kept under this name.
    Kept(String),
}

impl Target {
    /// Decides where the database `from` of the backup goes.
    ///
    /// # Errors
    /// What is there stands in the way (exit code 4).
    pub(crate) fn new(
        cluster: &Cluster,
        args: &Args,
        from: Option<&str>,
        name: &str,
    ) -> Result<Self, Error> {
        check_name(name)?;
        let there = cluster.databases.contains_key(name);
        let maintained = ["postgres", "template1"].contains(&name) && from == Some(name);
        let target = |place: Place, old: Old| Self {
            from: from.map(str::to_owned),
            name: name.to_owned(),
            place,
            old,
        };
        if !there {
            cluster.sweep(name);
            return Ok(target(beside(cluster, name), Old::None));
        }
        let empty = cluster.is_empty(name).unwrap_or(false);
        if maintained {
            return match empty {
                true => Ok(target(Place::InPlace, Old::None)),
                false => Err(in_the_way(name)),
            };
        }
        if !empty && !args.replace {
            return Err(Error::refused(format!(
                "the database '{name}' is there and is not empty"
            ))
            .hint(format!(
                "--replace puts the restored one in its place and keeps it under another name; --database '{}' --as NAME restores beside it",
                from.unwrap_or(name)
            )));
        }
        refuse_connections(cluster, args, name)?;
        cluster.sweep(name);
        let kept = cluster
            .run
            .replaced(name, |name| cluster.databases.contains_key(name));
        let old = match empty {
            true => Old::Empty(kept),
            false => Old::Kept(kept),
        };
        Ok(target(beside(cluster, name), old))
    }

    /// For the summary.
    pub(crate) fn say(&self) {
        let name = match &self.from {
            Some(from) if *from != self.name => format!("'{from}' as '{}'", self.name),
            _ => format!("'{}'", self.name),
        };
        match (&self.place, &self.old) {
            (Place::InPlace, _) => say!("database {name}: in place, in one transaction"),
            (_, Old::None) => say!("database {name}: new"),
            (_, Old::Empty(_)) => say!("database {name}: in the place of an empty one"),
            (_, Old::Kept(kept)) => {
                say!("database {name}: in the place of the one that is there, kept as '{kept}'");
            }
        }
    }
}

fn beside(cluster: &Cluster, name: &str) -> Place {
    Place::Beside(cluster.run.working(name))
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > NAME_LIMIT {
        return Err(Error::usage(format!(
            "'{name}' cannot be a database's name: it has 1 to {NAME_LIMIT} bytes"
        )));
    }
    if name.contains(['\n', '\r', '\0']) {
        return Err(Error::usage(
            "a database whose name has a line end cannot be restored",
        ));
    }
    Ok(())
}

fn in_the_way(name: &str) -> Error {
    Error::refused(format!(
        "the database '{name}' is restored in place, and is not empty"
    ))
    .hint(format!(
        "leave it out with --exclude-database {name}, or restore it alone with --database {name} --as NAME"
    ))
}

/// Connections to a database that is to be replaced.
fn refuse_connections(cluster: &Cluster, args: &Args, name: &str) -> Result<(), Error> {
    let connections = cluster.connections(name)?;
    if connections.is_empty() || args.force_disconnect {
        return Ok(());
    }
    for connection in &connections {
        say!("connected to '{name}': {connection}");
    }
    Err(Error::refused(format!(
        "the database '{name}' is in use: {}",
        text::count(connections.len(), "connection")
    ))
    .hint("stop what uses it, or say --force-disconnect"))
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
            if !is_wanted(args, from) {
                continue;
            }
            let name = args.name.as_ref().unwrap_or(from);
            let target = Target::new(cluster, args, Some(from), name)?;
            databases.push((section.clone(), target));
        }
        if let (Some(name), []) = (&args.database, databases.as_slice()) {
            return Err(no_such_database(chosen, index, name));
        }
        Ok(Self {
            globals: globals.cloned(),
            databases,
        })
    }

    /// How many bytes of SQL it is.
    pub(crate) fn sql_length(&self) -> u64 {
        let sections = self.databases.iter().map(|(section, _)| section);
        let all = sections.chain(&self.globals);
        all.map(|section| section.sql_length).sum()
    }
}

/// Whether a database of the backup is to be restored.
pub(crate) fn is_wanted(args: &Args, name: &str) -> bool {
    match &args.database {
        Some(wanted) => wanted == name,
        None => !args.exclude_database.iter().any(|other| other == name),
    }
}

fn check_exclusions(index: &Index, args: &Args) -> Result<(), Error> {
    let unknown = |name: &&String| index.database(name).is_none();
    match args.exclude_database.iter().find(unknown) {
        Some(name) => Err(Error::usage(format!(
            "there is no database '{name}' in the backup to leave out"
        ))
        .hint(format!("it has {}", quoted(&names(index))))),
        None => Ok(()),
    }
}

pub(crate) fn no_such_database(chosen: &Chosen, index: &Index, name: &str) -> Error {
    not_among(name, &chosen.label(), &names(index))
}

/// The error of a database that a backup does not have.
pub(crate) fn not_among(name: &str, label: &str, names: &[String]) -> Error {
    let error = Error::failed(format!("there is no database '{name}' in '{label}'"));
    match names {
        [] => error.hint("it has none, or does not say their names"),
        _ => error.hint(format!("it has {}", quoted(names))),
    }
}

fn names(index: &Index) -> Vec<String> {
    let databases = index
        .sections
        .iter()
        .filter_map(|section| match &section.kind {
            SectionKind::Database(name) => Some(name.clone()),
            _ => None,
        });
    databases.collect()
}

fn quoted(names: &[String]) -> String {
    format!("'{}'", names.join("', '"))
}
