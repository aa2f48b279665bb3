//! The restore, from the survey to the last rename.

use std::io::{BufRead, IsTerminal, stderr, stdin};

use backup_file::Index;
use job::{Error, say};
use pg_text::PgText;

use crate::cli::Args;
use crate::load::restored::Restored;
use crate::load::{indexed, sequential};
use crate::plan::placement::target;
use crate::plan::{self, Plan};
use crate::report::Report;
use crate::server::cleanup::Cleanup;
use crate::server::cluster::Cluster;
use crate::server::keeper::Keeper;
use crate::server::names::NewNames;
use crate::server::target::Replaced;
use crate::server::{sessions, swap};
use crate::source::chosen::ChosenBackup;
use crate::source::selection;

/// Restores the chosen backup, and writes down in `report` what was done.
pub(crate) fn run(chosen: &ChosenBackup, args: &Args, report: &mut Report) -> Result<(), Error> {
    report.source(chosen.label());
    let taken = plan::names_to_take(chosen.index.as_ref(), args);
    let cluster = survey(taken.as_deref(), args, report)?;
    let mut names = cluster.run.new_names();
    let plan = match &chosen.index {
        Some(index) => Some(plan(index, &chosen.label(), &cluster, &mut names, args)?),
        None => None,
    };
    refuse_what_cannot_succeed(plan.as_ref(), &cluster, args)?;
    say_what_comes(chosen, plan.as_ref(), &cluster, args);
    // Of a moment it was asked before the work began.
    if args.recovery.target().is_none() {
        ask(args)?;
    }

    // Nothing on the server was changed until here.
    let _keeper = Keeper::start(&cluster)?;
    let cleanup = Cleanup::new(&cluster);
    sweep(plan.as_ref(), taken.as_deref(), &cluster)?;
    let restored = match plan {
        Some(plan) => indexed::load(chosen, &plan, &cluster, &mut names, args, &cleanup, report)?,
        None => sequential::load(chosen, &cluster, &mut names, args, &cleanup, report)?,
    };
    report.check_tally()?;
    swap(restored, &cluster, args, &cleanup, report)?;
    report.check_failures()
}

/// Refuses what cannot succeed, and asks, before a backup is made that takes hours: of the database that the command line
/// names, from a server of this `version`.
///
/// # Errors
/// As [`run`], as far as it can be known.
pub(crate) fn foresee(version: &str, args: &Args) -> Result<(), Error> {
    let taken = plan::names_to_take(None, args);
    let cluster = Cluster::survey(args, taken.as_deref())?;
    cluster.survey.check_version(version, args.older_server)?;
    let Some(from) = &args.database else {
        return Ok(());
    };
    let name = args.name.as_ref().unwrap_or(from);
    let wanted = cluster.look(Some(from), name)?;
    let mut names = cluster.run.new_names();
    let target = target(&wanted, &cluster.survey, &mut names, args)?;
    if target.replaced != Replaced::Nothing {
        sessions::refuse(&cluster, &[&target.name])?;
    }
    if !target.destination.is_in_place() {
        cluster.survey.check_creation()?;
        cluster.check_admission()?;
    }
    say!("{}", target.summary());
    ask(args)
}

fn survey(taken: Option<&[PgText]>, args: &Args, report: &Report) -> Result<Cluster, Error> {
    let mut cluster = Cluster::survey(args, taken)?;
    if args.continues() {
        cluster.go_on(report.failures())?;
    }
    Ok(cluster)
}

/// Looks at the databases that have the wanted names now, and decides where each database of the backup goes.
fn plan(
    index: &Index,
    label: &str,
    cluster: &Cluster,
    names: &mut NewNames,
    args: &Args,
) -> Result<Plan, Error> {
    let (survey, about) = (&cluster.survey, &index.about);
    survey.check_version(&about.server_version, args.older_server)?;
    let mut wanted = Vec::new();
    for (section, from) in selection::wanted(index, label, args)? {
        let encoding = about.encoding.as_deref();
        let name = cluster.name_on_server(from, args.name.as_ref(), encoding)?;
        wanted.push((section, cluster.look(Some(from), &name)?));
    }
    Plan::new(index, wanted, survey, names, args)
}

/// Refuses what would fail later, perhaps after hours.
fn refuse_what_cannot_succeed(
    plan: Option<&Plan>,
    cluster: &Cluster,
    args: &Args,
) -> Result<(), Error> {
    let (creates, connections) = match plan {
        Some(plan) => {
            let replaced = plan.targets().filter(|it| it.replaced != Replaced::Nothing);
            let names: Vec<&PgText> = replaced.map(|it| &it.name).collect();
            sessions::refuse(cluster, &names)?;
            (plan.creates_databases(), plan.connections(args.jobs.into()))
        }
        // The session that shows that this run lives, and one that loads.
        None => (args.databases(), 2),
    };
    cluster.survey.check_connections(connections)?;
    if creates {
        cluster.survey.check_creation()?;
        cluster.check_admission()?;
    }
    Ok(())
}

fn say_what_comes(chosen: &ChosenBackup, plan: Option<&Plan>, cluster: &Cluster, args: &Args) {
    let survey = &cluster.survey;
    let of = match &chosen.index {
        Some(index) => format!(" of PostgreSQL {}", index.about.server_version),
        None => String::new(),
    };
    say!(
        "'{}'{of} is restored into PostgreSQL {}",
        chosen.label(),
        survey.version
    );
    if !cluster.restrict {
        say!(
            "this psql has no restricted mode (\\restrict, which came with 18, 17.6, 16.10, 15.14, 14.19 and 13.22): SQL that it might misread is refused; use a newer psql"
        );
    }
    if args.globals() {
        match args.role_passwords {
            true => say!("roles: those that are there get the backup's attributes and passwords"),
            false => say!("roles and tablespaces: those that are there are left as they are"),
        }
    }
    match plan {
        Some(plan) => {
            plan.targets().for_each(|it| say!("{}", it.summary()));
            survey.check_room(plan.sql_length());
        }
        None => {
            say!("it is read from beginning to end: its databases are known only when they come");
            if args.jobs > 1 {
                say!("--jobs has no effect: its databases are restored one after the other");
            }
        }
    }
    let settings = survey.settings.replace("SET ", "").replace(";\n", ", ");
    say!(
        "settings of its own sessions, for a quick load: {}",
        settings.trim_end_matches(", ")
    );
    survey.leftovers.say();
}

/// Asks on a terminal; elsewhere a replacement needs `--yes`.
fn ask(args: &Args) -> Result<(), Error> {
    if args.yes {
        return Ok(());
    }
    if args.backup == "-" || !stdin().is_terminal() || !stderr().is_terminal() {
        return match args.replace {
            true => Err(
                Error::refused("--replace is not done without being asked on a terminal")
                    .hint("say --yes"),
            ),
            false => Ok(()),
        };
    }
    say!("go on? (yes or no)");
    let mut answer = String::new();
    stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Error::io("cannot read the answer", &error))?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::refused("not restored: the answer was no")),
    }
}

/// Drops what killed restores have left. The plan counts on their names.
fn sweep(plan: Option<&Plan>, taken: Option<&[PgText]>, cluster: &Cluster) -> Result<(), Error> {
    let names: Vec<&PgText> = match plan {
        Some(plan) => plan.targets().map(|target| &target.name).collect(),
        None => taken.unwrap_or_default().iter().collect(),
    };
    let survey = &cluster.survey;
    survey
        .leftovers
        .sweep(&cluster.server, &survey.maintenance, &names)
}

/// Everything was checked: the databases get their names.
fn swap(
    restored: Restored,
    cluster: &Cluster,
    args: &Args,
    cleanup: &Cleanup,
    report: &mut Report,
) -> Result<(), Error> {
    let (targets, databases): (Vec<_>, Vec<_>) = restored.beside.into_iter().unzip();
    swap::swap(cluster, args, &targets)?;
    cleanup.keep();
    // Whatever happens from here on does not take back the names: the report has them at once.
    let gone = swap::drop_old(cluster, args, &targets);
    for mut database in databases {
        database.replaced = database.replaced.filter(|kept| !gone.contains(kept));
        report.done(database);
    }
    for (target, load) in restored.uncommitted {
        report.done(load.end(&target)?);
        cleanup.keep_in_place(&target.name);
    }
    Ok(())
}
