use std::collections::BTreeSet;

use azure_blob::Permission;
use backup_file::{BackupKind, BackupName};
use chrono::{DateTime, Utc};
use job::text::{age, count};
use job::{Error, say};
use store::{Backup, Deletion, Store};

use crate::archives::Archives;
use crate::cli::Args;
use crate::report::Report;
use crate::survey::Survey;
use retention::{deletes_everything, newest};

pub(crate) fn run() -> Result<(), Error> {
    prune(&job::parse_args::<Args>()?)
}

fn prune(args: &Args) -> Result<(), Error> {
    let policy = args.policy();
    if policy.is_empty() {
        return Err(Error::refused("a policy that keeps nothing is refused")
            .hint("give --keep-days a number of days"));
    }
    let store = Store::open_with(&args.store, args.patience())?;
    if let Some(client) = store.container() {
        let needs = [Permission::List, Permission::Delete];
        client.check(if args.dry_run { &needs[..1] } else { &needs })?;
    }
    let now = args.now.unwrap_or_else(Utc::now);
    // All is listed before anything is deleted, base backups before the WAL that they need.
    let listing = store.list()?;
    if listing.all().next().is_none() {
        say!("there are no backups in '{}'", store.label());
    }
    let dumps = Survey::of(&store, listing.dumps, now, &policy)?;
    let mut bases = Survey::of(&store, listing.bases, now, &policy)?;
    let archives = archives(&store, &mut bases, now, args)?;
    let mut report = Report::new(&store, now, args, [&dumps, &bases]);
    let mut refusals = Vec::new();
    for (kind, survey) in [(BackupKind::Dump, &dumps), (BackupKind::Base, &bases)] {
        if let Err(error) = allowed(&store, now, args, kind, survey) {
            report.refuse(kind, &error);
            refusals.push(error);
        }
    }
    let ended = carry_out(&store, [&dumps, &bases], archives.as_ref(), &mut report);
    match refusals.pop() {
        None => ended,
        // It has come to nothing, or not to all: the other has been said.
        Some(refusal) => {
            refusals.iter().for_each(job::say_error);
            ended.and(Err(refusal))
        }
    }
}

/// Deletes what may go of either kind, and then the WAL that nobody needs any more, or says what would go.
fn carry_out(
    store: &Store,
    [dumps, bases]: [&Survey; 2],
    archives: Option<&Archives>,
    report: &mut Report,
) -> Result<(), Error> {
    report.print_kept()?;
    let mut gone = BTreeSet::new();
    let mut deleted = Ok(());
    for (kind, survey) in [(BackupKind::Dump, dumps), (BackupKind::Base, bases)] {
        if report.refuses(kind) || deleted.is_err() {
            continue;
        }
        if report.is_dry_run() {
            report.print_plan(kind)?;
            gone.extend(survey.goes().map(|backup| backup.name));
        } else {
            deleted = delete(store, survey, report, &mut gone);
        }
    }
    if let (Ok(()), Some(archives)) = (&deleted, archives) {
        deleted = prune_archives(store, archives, &gone, report);
    }
    // What was deleted before an error is reported all the same.
    let ended = report.end();
    deleted.and(ended)
}

/// Lists the WAL archives; none if this token may not read what says which WAL is needed.
fn archives(
    store: &Store,
    bases: &mut Survey,
    now: DateTime<Utc>,
    args: &Args,
) -> Result<Option<Archives>, Error> {
    if let Some(client) = store.container()
        && let Err(error) = client.check(&[Permission::Read])
    {
        if !bases.backups.is_empty() {
            say!("no WAL is deleted: {error}");
        }
        return Ok(None);
    }
    Archives::read(store, bases, now, args.wal_days).map(Some)
}

/// Deletes the WAL that no base backup needs that is still there.
fn prune_archives(
    store: &Store,
    archives: &Archives,
    gone: &BTreeSet<BackupName>,
    report: &mut Report,
) -> Result<(), Error> {
    for cluster in &archives.clusters {
        let mut verdict = archives.verdict(cluster, gone);
        if report.refuses(BackupKind::Base) {
            verdict.goes.clear();
            verdict.untouched = Some("no base backup may go".to_owned());
        }
        let at = report.archive(cluster.system, &verdict);
        if !report.is_dry_run() {
            let deleted =
                Archives::delete(store, cluster.system, &verdict.goes, &mut |_, deletion| {
                    if let Deletion::Failed(error) = &deletion {
                        job::say_error(&error.clone().into());
                    }
                    report.file(at, &deletion);
                });
            report.print_archive(at)?;
            deleted?;
            continue;
        }
        report.print_archive(at)?;
    }
    Ok(())
}

/// Whether any backup of a kind may be deleted here at all.
fn allowed(
    store: &Store,
    now: DateTime<Utc>,
    args: &Args,
    kind: BackupKind,
    survey: &Survey,
) -> Result<(), Error> {
    let label = store.label();
    if survey.backups.is_empty() {
        return Ok(());
    }
    let newest = newest(&survey.candidates, now);
    let stale = newest.is_none_or(|name| now - name.started() > args.max_age(kind));
    if stale && !args.even_if_stale {
        let newest = newest.map_or_else(
            || match kind {
                BackupKind::Dump => "there is no good backup".to_owned(),
                BackupKind::Base => "there is no good base backup".to_owned(),
            },
            |name| {
                let age = age(now - name.started());
                format!("the newest {} '{name}' is {age} old", noun(kind))
            },
        );
        let option = match kind {
            BackupKind::Dump => "--max-age",
            BackupKind::Base => "--max-base-age",
        };
        return Err(Error::refused(format!("{newest} in '{label}': new ones have stopped coming"))
            .hint(format!("find out why; --even-if-stale deletes old ones all the same, {option} sets how old the newest may be")));
    }
    if deletes_everything(&survey.decisions) {
        return Err(Error::refused(format!(
            "the policy would delete all {} in '{label}'",
            count(survey.backups.len(), noun(kind))
        ))
        .hint("give --keep-min, or --keep-days more days"));
    }
    Ok(())
}

fn noun(kind: BackupKind) -> &'static str {
    match kind {
        BackupKind::Dump => "backup",
        BackupKind::Base => "base backup",
    }
}

/// Deletes what no rule keeps, oldest first, so that a prune which is cut short leaves the newest. `gone` gets the names
/// of those that are not there any more.
fn delete(
    store: &Store,
    survey: &Survey,
    report: &mut Report,
    gone: &mut BTreeSet<BackupName>,
) -> Result<(), Error> {
    let goes: Vec<Backup> = survey.goes().cloned().collect();
    if goes.is_empty() {
        return Ok(());
    }
    let mut printed = Ok(());
    let deleted = store.delete(&goes, &mut |backup, deletion| {
        match &deletion {
            Deletion::Failed(error) => job::say_error(&error.clone().into()),
            Deletion::Deleted | Deletion::Gone => {
                gone.insert(backup.name);
            }
            Deletion::Retained(_) => {}
        }
        let line = report.deletion(backup.name, deletion);
        if printed.is_ok() {
            printed = line;
        }
    });
    deleted?;
    printed
}
