use azure_blob::Need;
use job::Error;
use store::{Backup, Source, Store};

use crate::cli::Args;
use crate::report::{Finding, Grade, Report};
use crate::{backup, checks};

pub(crate) fn run() -> Result<(), Error> {
    let args = job::parse_args::<Args>()?;
    if Store::is_store(&args.target) {
        verify_store(&args)
    } else {
        verify_backup(&args)
    }
}

fn verify_backup(args: &Args) -> Result<(), Error> {
    let source = Source::open_with(&args.target, args.patience())?;
    if args.all {
        let label = source.label();
        return Err(Error::usage(format!(
            "--all is for a store, and '{label}' is a backup"
        )));
    }
    let mut report = Report::new(source.label(), args.now(), args.json);
    report.add(backup::check(&source, args.threads()))?;
    report.end()
}

fn verify_store(args: &Args) -> Result<(), Error> {
    let now = args.now();
    let store = Store::open_with(&args.target, args.patience())?;
    let mut report = Report::new(store.label(), now, args.json);
    if let Some(client) = store.container() {
        client.check(&[Need::List, Need::Read])?;
        report.add(checks::token(client, now))?;
    }
    let backups = store.list()?;
    let newest = checks::newest(&backups, now);
    match newest {
        None => report.add(none(&store))?,
        Some(newest) => {
            let checked = if args.all { 0 } else { newest };
            for at in checked..newest {
                report.add(check_one(&store, &backups, at, newest, args))?;
            }
            let finding = check_one(&store, &backups, newest, newest, args);
            let started = finding.contents.as_ref().and_then(|it| it.started);
            report.add(finding)?;
            report.add(checks::age(
                backups[newest].name,
                started,
                now,
                args.max_age,
            ))?;
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
    report.end()
}

fn none(store: &Store) -> Finding {
    let error = Error::not_good(format!("there are no backups in '{}'", store.label())).hint(
        "a backup's name is postgresql_backup_YYYYMMDD_HHMMSS.sql.gz; other names are not looked at",
    );
    Finding::bad("backup", error)
}

fn check_one(store: &Store, backups: &[Backup], at: usize, newest: usize, args: &Args) -> Finding {
    let backup = &backups[at];
    let source = match store.source(backup) {
        Ok(source) => source,
        Err(error) => return Finding::bad("backup", error),
    };
    if source.is_archived() && at < newest {
        let words = format!("'{}' is archived: it is not read", backup.name);
        return Finding::ok("backup", words);
    }
    let mut finding = backup::check(&source, args.threads());
    if at == newest
        && let Grade::Bad(error) = &mut finding.grade
        && let Some(older) = checks::instead(store, &backups[..at])
    {
        *error = error.clone().hint(format!("'{older}' looks whole"));
    }
    finding
}
