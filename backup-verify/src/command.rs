use std::time::Instant;

use azure_blob::Permission;
use backup_file::BackupName;
use job::Error;
use store::{Backup, Source, Store, total_size};

use crate::backup::Contents;
use crate::checks::room::Room;
use crate::checks::size::Databases;
use crate::checks::{gaps, retention, size};
use crate::cli::Args;
use crate::ledger::Ledger;
use crate::limits::Limits;
use crate::metrics::Family;
use crate::monitoring::{self, Monitoring};
use crate::past::Past;
use crate::report::{Finding, Grade, Report};
use crate::{backup, checks, every, restore_test};

pub(crate) fn run() -> Result<(), Error> {
    let began = Instant::now();
    let args = job::parse_args::<Args>()?;
    let monitoring = Monitoring::new(&args)?;
    let mut report = Report::new(label(&args.target), args.now(), monitoring::output(&args));
    let verified = if Store::is_store(&args.target) {
        verify_store(&args, &mut report)
    } else {
        verify_backup(&args, &mut report)
    };
    let ended = verified.and_then(|()| report.end());
    let mut metrics = report.measured();
    metrics.run(args.now(), began.elapsed(), ended.is_ok());
    monitoring.tell(&metrics, report.lines(), ended)
}

/// What is verified, before it has been opened: without its query, which would be the token.
fn label(target: &str) -> String {
    let address = target.split('?').next().unwrap_or(target);
    match target.contains("://") {
        true => address.trim_end_matches('/').to_owned(),
        false => target.to_owned(),
    }
}

fn verify_backup(args: &Args, report: &mut Report) -> Result<(), Error> {
    let source = Source::open_with(&args.target, args.patience())?;
    report.is_of(source.label());
    if args.all {
        let label = source.label();
        return Err(Error::usage(format!(
            "--all is for a store, and '{label}' is a backup"
        )));
    }
    if args.restore_test {
        restore_test::rereadable(&source)?;
    }
    report.add(backup::check(&source, args.threads()))?;
    if args.restore_test {
        restore_test::run(&args.target, &source, args, report)?;
    }
    Ok(())
}

fn verify_store(args: &Args, report: &mut Report) -> Result<(), Error> {
    let now = args.now();
    let store = Store::open_with(&args.target, args.patience())?;
    report.is_of(store.label());
    if let Some(client) = store.container() {
        if let Some(expires) = client.expires() {
            report.metrics().set_moment(Family::TokenExpiry, expires);
        }
        client.check(&[Permission::List, Permission::Read])?;
        report.add(checks::token(client, now, args.limits.warn_expiry))?;
    }
    let backups = store.list()?;
    report.metrics().stored(&backups);
    let newest = checks::newest(&backups, now);
    match newest {
        None => report.add(none(&store))?,
        Some(newest) => {
            let backups = &backups[..=newest];
            let mut ledger = ledger(&store, backups, args)?;
            if args.all {
                every::check(&store, &backups[..newest], args, ledger.as_mut(), report)?;
            }
            let left = verify_newest(&store, backups, args, ledger.as_mut(), report)?;
            match left {
                [] => report.add(none(&store))?,
                left => verify_series(&store, left, args, report)?,
            }
        }
    }
    if let Some(finding) = room(&store, &backups, args)? {
        report.add(finding)?;
    }
    let future = &backups[newest.map_or(0, |newest| newest + 1)..];
    if let Some(finding) = checks::future(future) {
        report.add(finding)?;
    }
    if let Some(directory) = store.directory() {
        for finding in checks::unfinished(directory)? {
            report.add(finding)?;
        }
    }
    report.show(&store, &backups, now)
}

/// The last one of these that is still there, and its age; gives those up to it.
fn verify_newest<'a>(
    store: &Store,
    backups: &'a [Backup],
    args: &Args,
    ledger: Option<&mut Ledger>,
    report: &mut Report,
) -> Result<&'a [Backup], Error> {
    let mut left = backups;
    while let Some((newest, older)) = left.split_last() {
        let finding = match store.source(newest) {
            Ok(source) => backup::check(&source, args.threads()),
            Err(error) => Finding::bad("backup", error.into()),
        };
        let is_bad = matches!(finding.grade, Grade::Bad(_));
        if is_bad && store.is_gone(newest).unwrap_or(false) {
            report.add(Finding::ok("backup", backup::gone(newest)).on(newest.name))?;
            left = older;
            continue;
        }
        judge_newest(store, left, finding, args, ledger, report)?;
        break;
    }
    Ok(left)
}

/// What was found of the last one of these, and what follows from it.
fn judge_newest(
    store: &Store,
    backups: &[Backup],
    finding: Finding,
    args: &Args,
    ledger: Option<&mut Ledger>,
    report: &mut Report,
) -> Result<(), Error> {
    let now = args.now();
    let at = backups.len() - 1;
    let name = backups[at].name;
    let mut finding = finding.on(name);
    let mut good = Some(name);
    if let Grade::Bad(error) = &mut finding.grade {
        good = checks::instead(store, &backups[..at]);
        if let Some(older) = good {
            *error = error.clone().hint(format!("'{older}' looks whole"));
        }
    }
    let started = match &finding.contents {
        Some(contents) => contents.started,
        None => None,
    };
    let since = started.map_or(name.started(), |it| it.min(name.started()));
    let metrics = report.metrics();
    metrics.age(since, now);
    if let Some(contents) = &finding.contents {
        metrics.newest(contents);
    }
    if let Some(good) = good {
        let since = if good == name { since } else { good.started() };
        metrics.set_moment(Family::LastSuccess, since);
    }
    if let (Some(ledger), Grade::Ok, Some(_)) = (ledger, &finding.grade, &finding.contents) {
        ledger.add(&backups[at], now)?;
    }
    let is_good = !matches!(finding.grade, Grade::Bad(_));
    let databases = finding.contents.as_ref().and_then(Contents::databases);
    report.add(finding)?;
    report.add(checks::age(name, started, now, args.limits.max_age))?;
    // Of what is bad the size says nothing.
    if is_good {
        verify_size(store, backups, databases, args, report)?;
    }
    if args.restore_test {
        let address = restore_test::address(&args.target, store, &backups[at]);
        match store.source(&backups[at]) {
            Ok(source) => restore_test::run(&address, &source, args, report)?,
            Err(error) => report.add(Finding::bad("restore", error.into()))?,
        }
    }
    Ok(())
}

/// Whether the last one of these is about as large as those before it, and each database in it.
fn verify_size(
    store: &Store,
    backups: &[Backup],
    databases: Option<Databases>,
    args: &Args,
    report: &mut Report,
) -> Result<(), Error> {
    let Some((newest, earlier)) = backups.split_last() else {
        return Ok(());
    };
    let past = Past::of(store, earlier)?;
    let max = args.limits.max_size_change;
    report.add(size::whole(newest.name, newest.size, &past.sizes, max))?;
    let Some(databases) = databases else {
        return Ok(());
    };
    for finding in size::databases(&databases, &past.databases, max) {
        report.add(finding)?;
    }
    Ok(())
}

fn none(store: &Store) -> Finding {
    let error = Error::not_good(format!("there are no backups in '{}'", store.label())).hint(
        "a backup's name is postgresql_backup_YYYYMMDD_HHMMSS.sql.gz; other names are not looked at",
    );
    Finding::bad("backup", error)
}

/// Whether all that should be there is, and nothing else.
fn verify_series(
    store: &Store,
    backups: &[Backup],
    args: &Args,
    report: &mut Report,
) -> Result<(), Error> {
    let Limits {
        every, max_missed, ..
    } = args.limits;
    let names: Vec<BackupName> = backups.iter().map(|backup| backup.name).collect();
    report.add(gaps::check(&names, every, max_missed))?;
    match args.limits.policy() {
        Some(policy) => report.add(retention::check(store, backups, args.now(), &policy)?),
        None => Ok(()),
    }
}

/// How full it is. Of a container without a quota that cannot be said, nor of a file system that does not know its size.
fn room(store: &Store, backups: &[Backup], args: &Args) -> Result<Option<Finding>, Error> {
    let room = match (args.limits.quota, store.directory()) {
        (Some(quota), _) => Some(Room::of_quota(total_size(backups), quota)),
        (None, Some(directory)) => Room::of_file_system(directory.path())?,
        (None, None) => None,
    };
    Ok(room.map(|room| room.check(args.limits.max_used)))
}

fn ledger(store: &Store, backups: &[Backup], args: &Args) -> Result<Option<Ledger>, Error> {
    let state = args.state.as_ref();
    state
        .map(|path| Ledger::open(path, &store.label(), backups))
        .transpose()
}
