//! Restored databases get their names.

use std::thread;
use std::time::{Duration, Instant};

use job::{Error, Exit, say};
use pg_client::{
    NEUTRAL_SETTINGS, disconnect, drop_database, open_database, quote_ident, quote_literal, sql,
    vacate,
};
use pg_text::PgText;

use crate::cli::Args;
use crate::edit::Place;
use crate::plan::{Old, Target};
use crate::preflight::Cluster;
use crate::sessions::{Session, how_to_end};

/// How often it is tried while somebody is connected to a database that is replaced. The server itself waits 5 s for
/// them in each try, and lets nobody new in meanwhile.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);
/// How long those who are in a restored database, and whom this role may not disconnect, are waited for in each try.
const LOOK: Duration = Duration::from_secs(3);
/// And how long in all. Nobody misses that database yet, and loading it took longer.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// Renames all of them in one transaction: all databases are the restored ones, or none is.
pub(crate) fn swap(cluster: &Cluster, args: &Args, targets: &[Target]) -> Result<(), Error> {
    let working: Vec<&str> = targets.iter().filter_map(working).collect();
    if working.is_empty() {
        return Ok(());
    }
    refuse_filled(cluster, args, targets)?;
    let open = close(cluster, &working)?;
    let renames = targets.iter().map(|it| renames(it, args, &open));
    let renames = PgText::join(renames, "");
    let vacate = vacate(&working, LOOK);
    // Its commit waits for the disk, for all that came before it too.
    let sql = sql(
        "{}SET synchronous_commit = on;\nBEGIN;\n{}{}COMMIT;\n",
        &[&NEUTRAL_SETTINGS.into(), &vacate, &renames],
    );
    let mut tries = 0;
    let mut waiting = None;
    loop {
        let Err(error) = cluster.server.execute(Some(&cluster.maintenance), &sql) else {
            return Ok(());
        };
        if is_done(cluster, &working, &error)? {
            return Ok(());
        }
        let names: Vec<PgText> = working.iter().map(|it| (*it).into()).collect();
        let names: Vec<&PgText> = names.iter().collect();
        let strangers = cluster.sessions(&names).unwrap_or_default();
        if strangers.is_empty() {
            tries += 1;
            if tries == TRIES {
                return Err(explained(cluster, args, targets, &error));
            }
        } else {
            let since = *waiting.get_or_insert_with(|| {
                say_who_is_waited_for(&strangers);
                Instant::now()
            });
            if since.elapsed() >= PATIENCE {
                return Err(not_ours(&strangers, &error));
            }
        }
        thread::sleep(PAUSE);
    }
}

fn working(target: &Target) -> Option<&str> {
    match &target.place {
        Place::Beside(working) => Some(working.ascii()),
        // It has its name.
        Place::Early(..) | Place::There(_) => None,
    }
}

/// Lets nobody new into the restored databases, which is committed at once; says which of them let people in until now.
///
/// Not earlier: the workers of a parallel index build connect too, and older servers let them in no more than others.
fn close(cluster: &Cluster, working: &[&str]) -> Result<Vec<String>, Error> {
    let mut sql = format!(
        "{NEUTRAL_SETTINGS}SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND datname IN ({});\n",
        literals(working)
    );
    for name in working {
        let name = quote_ident(name);
        sql.push_str(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false;\n"));
    }
    let rows = cluster.server.query(Some(&cluster.maintenance), &sql)?;
    let names = rows.into_iter().flatten().flatten();
    Ok(names.map(|name| name.to_string()).collect())
}

/// The statements that give one its name, and open it if it was. Who is connected to the old one is disconnected right
/// before it is renamed: whoever connects again waits for the lock that the rename takes.
fn renames(target: &Target, args: &Args, open: &[String]) -> PgText {
    let Some(working) = working(target) else {
        return PgText::default();
    };
    let name = quote_ident(&target.name);
    let mut all = Vec::new();
    if let Old::Empty(kept) | Old::Kept(kept) = &target.old {
        if args.force_disconnect {
            all.push(disconnect(&target.name));
        }
        let kept = quote_ident(kept);
        all.push(sql("ALTER DATABASE {} RENAME TO {};\n", &[&name, &kept]));
    }
    let restored = quote_ident(working);
    all.push(sql(
        "ALTER DATABASE {} RENAME TO {};\n",
        &[&restored, &name],
    ));
    if open.iter().any(|it| it == working) {
        all.push(sql("ALTER DATABASE {} ALLOW_CONNECTIONS true;\n", &[&name]));
    }
    PgText::join(all, "")
}

/// Of names of ours, which are ASCII.
fn literals(names: &[&str]) -> String {
    PgText::join(names.iter().map(quote_literal), ", ").to_string()
}

/// Whether the names were changed although the answer to that was lost: the names tell.
fn is_done(cluster: &Cluster, working: &[&str], lost: &pg_client::Error) -> Result<bool, Error> {
    let sql = format!(
        "SELECT count(*) FROM pg_catalog.pg_database WHERE datname IN ({})",
        literals(working)
    );
    match cluster.server.query(Some(&cluster.maintenance), &sql) {
        Ok(rows) => {
            let count = rows.first().and_then(|row| row.first()?.as_ref());
            Ok(count.is_some_and(|count| *count == "0"))
        }
        Err(error) => Err(Error::failed(format!(
            "all was restored, but whether the databases got their names, all of them or none, is not known: {lost}; then {error}"
        ))
        .hint("see what is there when the server answers: psql -l")),
    }
}

/// A database that was empty when this run began is in the way if somebody has filled it meanwhile.
fn refuse_filled(cluster: &Cluster, args: &Args, targets: &[Target]) -> Result<(), Error> {
    let named_now = targets.iter().filter(|it| working(it).is_some());
    for target in named_now.filter(|_| !args.replace) {
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

/// Somebody is in a restored database: they leave, or a superuser ends their sessions.
fn say_who_is_waited_for(strangers: &[Session]) {
    strangers.iter().for_each(Session::say);
    say!(
        "all is restored; the databases get their names when these leave, whom this role may not disconnect (at most {} min)",
        PATIENCE.as_secs() / 60
    );
    say!(
        "a superuser can end their sessions: {}",
        how_to_end(strangers)
    );
}

/// They did not leave.
fn not_ours(strangers: &[Session], error: &pg_client::Error) -> Error {
    Error::refused(format!(
        "the restored databases cannot get their names, and nothing was changed: {error}"
    ))
    .hint(format!(
        "a superuser can end these sessions: {}; keep what visits every database away, or restore as a superuser",
        how_to_end(strangers)
    ))
}

/// Who stands in the way, if that is why.
fn explained(
    cluster: &Cluster,
    args: &Args,
    targets: &[Target],
    error: &pg_client::Error,
) -> Error {
    let replaced = targets.iter().filter(|target| target.old != Old::None);
    let replaced: Vec<&PgText> = replaced.map(|target| &target.name).collect();
    let sessions = cluster.sessions(&replaced).unwrap_or_default();
    sessions.iter().for_each(Session::say);
    let exit = match sessions.is_empty() {
        true => Exit::Failed,
        false => Exit::Refused,
    };
    let said = Error::new(
        exit,
        format!("the restored databases cannot get their names, and nothing was changed: {error}"),
    );
    match exit {
        Exit::Refused if args.force_disconnect => said.hint("stop what uses them"),
        Exit::Refused => said.hint("stop what uses them, or say --force-disconnect"),
        _ => said,
    }
}

/// Drops the databases that were replaced: empty ones, and with --drop-old all. Says which of those that
/// were to be kept are gone.
pub(crate) fn drop_old(cluster: &Cluster, args: &Args, targets: &[Target]) -> Vec<PgText> {
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
        let execute = |sql: &PgText| cluster.server.execute(Some(&cluster.maintenance), sql);
        match execute(&drop_database(kept)) {
            Ok(()) => gone.push(kept.clone()),
            Err(error) => {
                say!("cannot drop '{kept}': {error}");
                // It is closed for the drop; what is kept can be looked into.
                let _ = execute(&open_database(kept));
            }
        }
    }
    gone
}
