//! From the command line to what is done.

use job::{Error, Exit};

use crate::cli::Args;
use crate::edit::TableChoice;
use crate::load::{command, into_table};
use crate::recovery::one_database::Moment;
use crate::report::Report;
use crate::server::cluster::Cluster;
use crate::source::chosen::ChosenBackup;
use crate::{list, plan, recovery, restore, wal};

/// Runs the program.
pub(crate) fn run() -> Result<(), Error> {
    run_with(&job::parse_args()?)
}

/// Runs the program as PostgreSQL's restore_command.
pub(crate) fn run_for_server() -> Result<Exit, Error> {
    let args: Args = job::parse_args()?;
    match &args.wal.wal {
        Some(name) => wal::run(&args, name),
        None => run_with(&args).map(|()| Exit::Done),
    }
}

fn run_with(args: &Args) -> Result<(), Error> {
    if let (Some(target), Some(directory)) = (args.recovery.target(), &args.recovery.data_dir) {
        let done = recovery::run(args, target, directory);
        if let (true, Err(error)) = (args.json, &done) {
            job::print_json(&recovery::report::failed(error))?;
        }
        return done;
    }
    args.check()?;
    TableChoice::of(args)?;
    if args.list {
        return list::run(args);
    }
    if !args.command.is_empty() {
        return command::run(&chosen(args, |_| Ok(()))?, args);
    }
    if let Some(table) = &args.into_table {
        let check = |_: &str| Cluster::survey(args, Some(&[])).map(drop);
        return into_table::run(&chosen(args, check)?, table, args);
    }
    let mut report = Report::new(args.label().to_owned());
    let done = restore(args, &mut report);
    match done {
        Ok(()) => report.say(),
        Err(_) => report.say_what_stands(),
    }
    if args.json {
        job::print_json(&report.document(done.as_ref().err()))?;
    }
    done
}

fn restore(args: &Args, report: &mut Report) -> Result<(), Error> {
    if args.verify_first {
        // Reading the whole backup may take hours. First it must be clear that the server can be restored into.
        Cluster::survey(args, plan::names_to_take(None, args).as_deref())?;
    }
    let chosen = chosen(args, |version| restore::foresee(version, args))?;
    restore::run(&chosen.dump()?, args, report)
}

/// The backup that is asked for; or one that is made of the database as it was at the moment that is asked for, if `check`
/// finds that it can be restored from a server of that version.
fn chosen(
    args: &Args,
    check: impl FnOnce(&str) -> Result<(), Error>,
) -> Result<ChosenBackup, Error> {
    match (args.recovery.target(), &args.database) {
        (Some(target), Some(database)) => {
            let moment = Moment::find(target, args)?;
            check(moment.version())?;
            moment.dump(database)
        }
        _ => ChosenBackup::new(args),
    }
}
