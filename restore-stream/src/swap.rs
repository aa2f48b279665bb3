//! Restored databases get their names.

use job::{Error, Exit, say};
use pg_client::{UNHINDERED, quote_ident, quote_literal};

use crate::cli::Args;
use crate::edit::Place;
use crate::plan::{Old, Target};
use crate::preflight::Cluster;

/// How often those who connect again are disconnected again.
const TRIES: u32 = 5;

/// Renames all of them in one transaction: all databases are the restored ones, or none is.
pub(crate) fn swap(cluster: &Cluster, args: &Args, targets: &[Target]) -> Result<(), Error> {
    let renames: String = targets.iter().map(|it| renames(it, args)).collect();
    if renames.is_empty() {
        return Ok(());
    }
    refuse_filled(cluster, args, targets)?;
    // Its commit waits for the disk, for all that came before it too.
    let sql = format!("{UNHINDERED}SET synchronous_commit = on;\nBEGIN;\n{renames}COMMIT;\n");
    let mut tries = 1;
    loop {
        let Err(error) = cluster.server.execute(Some(&cluster.maintenance), &sql) else {
            return Ok(());
        };
        if is_done(cluster, targets, &error)? {
            return Ok(());
        }
        if !args.force_disconnect || tries == TRIES || !in_use(cluster, targets)? {
            return Err(explained(cluster, targets, &error));
        }
        tries += 1;
    }
}

/// The statements that give one its name. Who is connected to the old one is disconnected right before it is renamed:
/// whoever connects again waits for the lock that the rename takes.
fn renames(target: &Target, args: &Args) -> String {
    let Place::Beside(working) = &target.place else {
        return String::new();
    };
    let rename = |from: &str, to: &str| {
        format!(
            "ALTER DATABASE {} RENAME TO {};\n",
            quote_ident(from),
            quote_ident(to)
        )
    };
    let away = match &target.old {
        Old::None => String::new(),
        Old::Empty(kept) | Old::Kept(kept) => rename(&target.name, kept),
    };
    let disconnect = match args.force_disconnect && target.old != Old::None {
        true => disconnect(&target.name),
        false => String::new(),
    };
    disconnect + &away + &rename(working, &target.name)
}

fn disconnect(name: &str) -> String {
    format!(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
         WHERE datname = {} AND pid <> pg_catalog.pg_backend_pid();\n",
        quote_literal(name)
    )
}

/// Whether the names were changed although the answer to that was lost: the names tell.
fn is_done(cluster: &Cluster, targets: &[Target], lost: &Error) -> Result<bool, Error> {
    let working: Vec<String> = targets
        .iter()
        .filter_map(|target| match &target.place {
            Place::Beside(working) => Some(quote_literal(working)),
            Place::InPlace => None,
        })
        .collect();
    let sql = format!(
        "SELECT count(*) FROM pg_catalog.pg_database WHERE datname IN ({})",
        working.join(", ")
    );
    match cluster.server.query(Some(&cluster.maintenance), &sql) {
        Ok(rows) => Ok(rows.first().and_then(|row| row.first()?.as_deref()) == Some("0")),
        Err(error) => Err(Error::failed(format!(
            "all was restored, but whether the databases got their names, all of them or none, is not known: {lost}; then {error}"
        ))
        .hint("see what is there when the server answers: psql -l")),
    }
}

/// A database that was empty when this run began is in the way if somebody has filled it meanwhile.
fn refuse_filled(cluster: &Cluster, args: &Args, targets: &[Target]) -> Result<(), Error> {
    for target in targets.iter().filter(|_| !args.replace) {
        if matches!(target.old, Old::Empty(_)) && !cluster.is_empty(&target.name)? {
            return Err(Error::refused(format!(
                "the database '{}' was empty, and was filled while this ran: nothing was changed",
                target.name
            ))
            .hint("--replace puts the restored one in its place and keeps it under another name"));
        }
    }
    Ok(())
}

/// The databases whose names are taken from them.
fn replaced(targets: &[Target]) -> impl Iterator<Item = &Target> {
    targets.iter().filter(|target| target.old != Old::None)
}

fn in_use(cluster: &Cluster, targets: &[Target]) -> Result<bool, Error> {
    for target in replaced(targets) {
        if !cluster.connections(&target.name)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Who stands in the way, if that is why.
fn explained(cluster: &Cluster, targets: &[Target], error: &Error) -> Error {
    let mut exit = Exit::Failed;
    for target in replaced(targets) {
        for connection in cluster.connections(&target.name).unwrap_or_default() {
            say!("connected to '{}': {connection}", target.name);
            exit = Exit::Refused;
        }
    }
    let said = Error::new(
        exit,
        format!("the restored databases cannot get their names, and nothing was changed: {error}"),
    );
    match exit {
        Exit::Refused => said.hint("stop what uses them, or say --force-disconnect"),
        _ => said,
    }
}

/// Drops the databases that were replaced: empty ones, and with --drop-old all. Says which of those that
/// were to be kept are gone.
pub(crate) fn drop_old(cluster: &Cluster, args: &Args, targets: &[Target]) -> Vec<String> {
    let mut gone = Vec::new();
    for target in targets {
        let kept = match &target.old {
            Old::Empty(kept) if args.drop_old || cluster.is_empty(kept).unwrap_or(false) => kept,
            Old::Kept(kept) if args.drop_old => kept,
            Old::Empty(kept) => {
                say!("'{kept}' is kept: it was empty, and is not any more");
                continue;
            }
            _ => continue,
        };
        let name = quote_ident(kept);
        let execute = |sql: &str| {
            let sql = format!("{UNHINDERED}{sql}");
            cluster.server.execute(Some(&cluster.maintenance), &sql)
        };
        // One whose drop was interrupted once can be dropped, and not altered.
        let _ = execute(&format!("ALTER DATABASE {name} IS_TEMPLATE false;\n"));
        match execute(&format!("DROP DATABASE {name};\n")) {
            Ok(()) => gone.push(kept.clone()),
            Err(error) => say!("cannot drop '{kept}': {error}"),
        }
    }
    gone
}
