//! The restore, from the question to the last rename.

use std::io::{BufRead, IsTerminal, stderr, stdin};

use job::{Error, say};

use crate::choose::Chosen;
use crate::cli::Args;
use crate::edit::DatabaseEdit;
use crate::keeper::{Begun, Keeper};
use crate::ledger::{Entry, Ledger};
use crate::load::Load;
use crate::plan::{Plan, Target};
use crate::preflight::Cluster;
use crate::{leftovers, plan, sections, stream, swap};

/// What was loaded and checked, and has not got its name yet.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    pub(crate) beside: Vec<(Target, Entry)>,
    /// Databases that are restored in place: their sessions are open, and so is the transaction of one that has one.
    pub(crate) uncommitted: Vec<(Target, Load<DatabaseEdit>)>,
}

impl Restored {
    pub(crate) fn is_empty(&self) -> bool {
        self.beside.is_empty() && self.uncommitted.is_empty()
    }
}

/// Restores the chosen backup, and writes down in `ledger` what was done.
pub(crate) fn run(chosen: &Chosen, args: &Args, ledger: &mut Ledger) -> Result<(), Error> {
    ledger.source(chosen.label());
    let taken = plan::taken(chosen.index.as_ref(), args);
    let mut cluster = Cluster::survey(args, taken.as_deref())?;
    if args.continues() {
        cluster.go_on(ledger.failures())?;
    }
    let cluster = cluster;
    let plan = match &chosen.index {
        Some(index) => {
            cluster.check(&index.about.server_version, args)?;
            Some(Plan::new(chosen, index, &cluster, args)?)
        }
        None => None,
    };
    refuse_what_cannot_succeed(plan.as_ref(), &cluster, args)?;
    summary(chosen, plan.as_ref(), &cluster, args);
    let leftovers = leftovers::find(&cluster);
    confirm(args)?;
    // Until here nothing was changed on the server.
    let _keeper = Keeper::start(&cluster)?;
    let begun = Begun::new(&cluster);
    leftovers::sweep(&cluster, &leftovers);
    let restored = match plan {
        Some(plan) => sections::load(chosen, &plan, &cluster, args, &begun, ledger)?,
        None => stream::load(chosen, &cluster, args, &begun, ledger)?,
    };
    finish(restored, &cluster, args, &begun, ledger)
}

/// What would fail later, perhaps after hours.
fn refuse_what_cannot_succeed(
    plan: Option<&Plan>,
    cluster: &Cluster,
    args: &Args,
) -> Result<(), Error> {
    let (beside, connections) = match plan {
        Some(plan) => (plan.has_beside(), plan.connections(args.jobs.into())),
        // The one that keeps watch, and one that loads.
        None => (args.databases(), 2),
    };
    cluster.check_connections(connections)?;
    if beside {
        cluster.check_creation()?;
        cluster.check_admission()?;
    }
    Ok(())
}

/// All was checked: the databases get their names.
fn finish(
    restored: Restored,
    cluster: &Cluster,
    args: &Args,
    begun: &Begun,
    ledger: &mut Ledger,
) -> Result<(), Error> {
    ledger.check_books()?;
    let (targets, entries): (Vec<_>, Vec<_>) = restored.beside.into_iter().unzip();
    swap::swap(cluster, args, &targets)?;
    begun.keep();
    // What is to be done from here on cannot take back the names: it is written down at once.
    let gone = swap::drop_old(cluster, args, &targets);
    for mut entry in entries {
        entry.replaced = entry.replaced.filter(|kept| !gone.contains(kept));
        ledger.done(entry);
    }
    for (target, load) in restored.uncommitted {
        ledger.done(load.end(&target)?);
        begun.keep_in_place(&target.name);
    }
    ledger.check_failures()
}

fn summary(chosen: &Chosen, plan: Option<&Plan>, cluster: &Cluster, args: &Args) {
    let of = match &chosen.index {
        Some(index) => format!(" of PostgreSQL {}", index.about.server_version),
        None => String::new(),
    };
    say!(
        "'{}'{of} is restored into PostgreSQL {}",
        chosen.label(),
        cluster.version
    );
    if !cluster.restrict {
        say!(
            "this psql has no restricted mode (\\restrict, which came with 18, 17.6, 16.10, 15.14, 14.19 and 13.22): what it might read otherwise than meant is refused; take a newer one"
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
            plan.databases.iter().for_each(|(_, target)| target.say());
            cluster.check_room(plan.sql_length());
        }
        None => {
            say!("it is read through: its databases are seen when they come");
            if args.jobs > 1 {
                say!("--jobs: one after the other, as they come");
            }
        }
    }
    let settings = cluster.settings.replace("SET ", "").replace(";\n", ", ");
    say!(
        "for a quick load, in its own sessions: {}",
        settings.trim_end_matches(", ")
    );
}

/// Asks on a terminal; elsewhere a replacement needs `--yes`.
fn confirm(args: &Args) -> Result<(), Error> {
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
