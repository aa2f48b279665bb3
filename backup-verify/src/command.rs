use std::time::Instant;

use azure_blob::Need;
use job::Error;
use store::{Backup, Source, Store};

use crate::cli::Args;
use crate::metrics::Family;
use crate::monitoring::{self, Monitoring};
use crate::report::{Finding, Grade, Report};
use crate::{backup, checks, restore_test};

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
        client.check(&[Need::List, Need::Read])?;
        report.add(checks::token(client, now))?;
    }
    let backups = store.list()?;
    report.metrics().stored(&backups);
    let newest = checks::newest(&backups, now);
    match newest {
        None => report.add(none(&store))?,
        Some(newest) => {
            let checked = if args.all { 0 } else { newest };
            for at in checked..newest {
                report.add(check_one(&store, &backups[..=newest], at, args))?;
            }
            verify_newest(&store, &backups[..=newest], args, report)?;
        }
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

/// The last one of these, and its age.
fn verify_newest(
    store: &Store,
    backups: &[Backup],
    args: &Args,
    report: &mut Report,
) -> Result<(), Error> {
    let now = args.now();
    let at = backups.len() - 1;
    let name = backups[at].name;
    let mut finding = check_one(store, backups, at, args);
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
    report.add(finding)?;
    report.add(checks::age(name, started, now, args.max_age))?;
    if args.restore_test {
        let address = restore_test::address(&args.target, store, &backups[at]);
        match store.source(&backups[at]) {
            Ok(source) => restore_test::run(&address, &source, args, report)?,
            Err(error) => report.add(Finding::bad("restore", error))?,
        }
    }
    Ok(())
}

fn none(store: &Store) -> Finding {
    let error = Error::not_good(format!("there are no backups in '{}'", store.label())).hint(
        "a backup's name is postgresql_backup_YYYYMMDD_HHMMSS.sql.gz; other names are not looked at",
    );
    Finding::bad("backup", error)
}

fn check_one(store: &Store, backups: &[Backup], at: usize, args: &Args) -> Finding {
    let backup = &backups[at];
    let source = match store.source(backup) {
        Ok(source) => source,
        Err(error) => return Finding::bad("backup", error).on(backup.name),
    };
    if source.is_archived() && at + 1 < backups.len() {
        let words = format!("'{}' is archived: it is not read", backup.name);
        return Finding::ok("backup", words).on(backup.name);
    }
    backup::check(&source, args.threads()).on(backup.name)
}
