//! Restored databases get their names.

use job::{Error, Exit, say};
use pg_client::{quote_ident, quote_literal};

use crate::cli::Args;
use crate::edit::Place;
use crate::plan::{Old, Target};
use crate::preflight::Cluster;
use crate::session::UNHINDERED;

/// How often those who connect again are disconnected again.
const TRIES: u32 = 5;

/// Renames all of them in one transaction: all databases are the restored ones, or none is.
pub(crate) fn swap(cluster: &Cluster, args: &Args, targets: &[Target]) -> Result<(), Error> {
    let renames: String = targets.iter().map(renames).collect();
    if renames.is_empty() {
        return Ok(());
    }
    // Its commit waits for the disk, for all that came before it too.
    let sql = format!("{UNHINDERED}SET synchronous_commit = on;\nBEGIN;\n{renames}COMMIT;\n");
    let mut tries = 1;
    loop {
        if args.force_disconnect {
            disconnect(cluster, targets)?;
        }
        match cluster.server.execute(Some(&cluster.maintenance), &sql) {
            Ok(()) => return Ok(()),
            Err(_) if args.force_disconnect && tries < TRIES && in_use(cluster, targets)? => {
                tries += 1;
            }
            Err(error) => return Err(explained(cluster, targets, &error)),
        }
    }
}

fn renames(target: &Target) -> String {
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
    away + &rename(working, &target.name)
}

/// The databases whose names are taken from them.
fn replaced(targets: &[Target]) -> impl Iterator<Item = &Target> {
    targets.iter().filter(|target| target.old != Old::None)
}

fn disconnect(cluster: &Cluster, targets: &[Target]) -> Result<(), Error> {
    let names: Vec<String> = replaced(targets)
        .map(|target| quote_literal(&target.name))
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
         WHERE datname IN ({}) AND pid <> pg_catalog.pg_backend_pid();",
        names.join(", ")
    );
    cluster.server.execute(Some(&cluster.maintenance), &sql)
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
            Old::Empty(kept) => kept,
            Old::Kept(kept) if args.drop_old => kept,
            _ => continue,
        };
        let name = quote_ident(kept);
        let sql = format!(
            "{UNHINDERED}ALTER DATABASE {name} IS_TEMPLATE false;\nDROP DATABASE {name};\n"
        );
        match cluster.server.execute(Some(&cluster.maintenance), &sql) {
            Ok(()) => gone.push(kept.clone()),
            Err(error) => say!("cannot drop '{kept}': {error}"),
        }
    }
    gone
}
