use azure_blob::Permission;
use chrono::Utc;
use job::text::{age, count};
use job::{Error, say};
use store::{Backup, Deletion, Store};

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
    let survey = Survey::of(&store, now, &policy)?;
    let mut report = Report::new(&store, now, args, &survey);
    if let Err(error) = allowed(&store, now, args, &survey) {
        report.refuse(&error)?;
        return Err(error);
    }
    if args.dry_run {
        report.print_plan()?;
        return report.end();
    }
    report.print_kept()?;
    let deleted = delete(&store, &survey, &mut report);
    // What was deleted before an error is reported all the same.
    let ended = report.end();
    deleted.and(ended)
}

/// Whether anything may be deleted here at all.
fn allowed(
    store: &Store,
    now: chrono::DateTime<Utc>,
    args: &Args,
    survey: &Survey,
) -> Result<(), Error> {
    let label = store.label();
    if survey.backups.is_empty() {
        say!("there are no backups in '{label}'");
        return Ok(());
    }
    let newest = newest(&survey.candidates, now);
    let stale = newest.is_none_or(|name| now - name.started() > args.max_age);
    if stale && !args.even_if_stale {
        let newest = newest.map_or_else(
            || "there is no good backup".to_owned(),
            |name| {
                let age = age(now - name.started());
                format!("the newest backup '{name}' is {age} old")
            },
        );
        return Err(Error::refused(format!("{newest} in '{label}': new ones have stopped coming"))
            .hint("find out why; --even-if-stale deletes old ones all the same, --max-age sets how old the newest may be"));
    }
    if deletes_everything(&survey.decisions) {
        return Err(Error::refused(format!(
            "the policy would delete all {} in '{label}'",
            count(survey.backups.len(), "backup")
        ))
        .hint("give --keep-min, or --keep-days more days"));
    }
    Ok(())
}

/// Deletes what no rule keeps, oldest first, so that a prune which is cut short leaves the newest.
fn delete(store: &Store, survey: &Survey, report: &mut Report) -> Result<(), Error> {
    let goes: Vec<Backup> = survey
        .backups
        .iter()
        .zip(&survey.decisions)
        .filter(|(_, decision)| !decision.keeps())
        .map(|(backup, _)| backup.clone())
        .collect();
    if goes.is_empty() {
        return Ok(());
    }
    let mut printed = Ok(());
    let deleted = store.delete(&goes, &mut |backup, deletion| {
        if let Deletion::Failed(error) = &deletion {
            job::say_error(&error.clone().into());
        }
        let line = report.deletion(backup.name, deletion);
        if printed.is_ok() {
            printed = line;
        }
    });
    deleted?;
    printed
}
