//! What goes where. A plan is pure: it is made from what the survey saw and what the command line says. It asks the server
//! nothing, and changes nothing.

pub(crate) mod placement;

use backup_file::{Index, Section, SectionKind};
use job::Error;
use pg_text::PgText;

use crate::cli::Args;
use crate::server::look::Wanted;
use crate::server::names::NewNames;
use crate::server::survey::Survey;
use crate::server::target::{Destination, Target, Transactions};
use crate::source::selection::{databases, is_wanted};
use placement::{MAINTENANCE, target};

/// The final names of the databases that a run creates, where they are known before the backup is read: with an index, or if
/// the command line names the database.
pub(crate) fn names_to_take(index: Option<&Index>, args: &Args) -> Option<Vec<PgText>> {
    let taken = |from: &PgText| {
        let name = args.name.as_ref().unwrap_or(from);
        let in_place = MAINTENANCE.contains(&name.ascii()) && name == from;
        (!in_place).then(|| name.clone())
    };
    match (&args.database, index) {
        _ if !args.databases() => Some(Vec::new()),
        (Some(name), _) => Some(taken(name).into_iter().collect()),
        (None, Some(index)) => {
            let all = databases(index).map(|(_, name)| name);
            let wanted = all.filter(|it| is_wanted(args, Some(index), it));
            Some(wanted.filter_map(taken).collect())
        }
        (None, None) => None,
    }
}

/// The parts of a backup with an index that are to be restored.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The part before the databases. It is always read, because older dumps have statements about databases there.
    pub(crate) globals: Option<Section>,
    pub(crate) databases: Vec<(Section, Target)>,
}

impl Plan {
    /// # Errors
    /// Something on the server stands in the way (exit code 4); `--in-place` names a database that is not restored.
    pub(crate) fn new(
        index: &Index,
        wanted: Vec<(&Section, Wanted)>,
        survey: &Survey,
        names: &mut NewNames,
        args: &Args,
    ) -> Result<Self, Error> {
        let mut sections = index.sections.iter();
        let globals = sections.find(|section| section.kind == SectionKind::Globals);
        let mut databases = Vec::new();
        for (section, wanted) in wanted {
            databases.push((section.clone(), target(&wanted, survey, names, args)?));
        }
        check_in_place(&databases, args)?;
        Ok(Self {
            globals: globals.cloned(),
            databases,
        })
    }

    /// Where its databases go.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &Target> {
        self.databases.iter().map(|(_, target)| target)
    }

    /// Whether any database is new.
    pub(crate) fn creates_databases(&self) -> bool {
        self.targets().any(|it| !it.destination.is_in_place())
    }

    /// How many sessions it needs at once: those that load, the one that shows that this run lives, and one for questions.
    pub(crate) fn connections(&self, jobs: usize) -> usize {
        let targets = self.targets();
        let in_place = targets.filter(|it| it.destination.is_in_place()).count();
        let beside = self.databases.len() - in_place;
        // Large objects in place have a session of their own, which ends before other databases begin.
        let aside = self.databases.iter().any(|(section, target)| {
            let contents = section.contents.as_ref();
            target.destination == Destination::InPlace(Transactions::One)
                && contents.is_some_and(|it| it.large_objects > 0)
        });
        // Sessions share a database that has a map.
        let shared = self
            .databases
            .iter()
            .any(|(section, target)| section.map.is_some() && !target.destination.is_in_place());
        let loading = if shared { jobs } else { jobs.min(beside) };
        2 + in_place + loading.max(usize::from(aside))
    }

    /// How many bytes of SQL it is.
    pub(crate) fn sql_length(&self) -> u64 {
        let sections = self.databases.iter().map(|(section, _)| section);
        let all = sections.chain(&self.globals);
        all.map(|section| section.sql_length).sum()
    }
}

/// Refuses a name for `--in-place` that no restored database has. It may be a typing error, and the database that was meant
/// would not be restored in place.
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
