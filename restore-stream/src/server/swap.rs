//! Gives restored databases their names.

use std::thread;
use std::time::{Duration, Instant};

use job::{Error, Exit, say};
use pg_client::{
    NEUTRAL_SETTINGS, disconnect, drop_database, open_database, quote_ident, quote_literal, sql,
    vacate,
};
use pg_text::PgText;

use crate::cli::Args;
use crate::server::cluster::Cluster;
use crate::server::contents::is_empty;
use crate::server::sessions::{Session, how_to_end};
use crate::server::target::{Destination, Replaced, Target};

/// How often to try while somebody is connected to a database that is replaced. In each try the server itself waits 5 s for
/// them, and lets nobody new in meanwhile.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);
/// How long each try waits for those who are in a restored database and whom this role may not disconnect.
const LOOK: Duration = Duration::from_secs(3);
/// How long all tries wait for them. Nobody misses that database yet, and loading it took longer.
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
    // This commit waits for the disk, and so for everything that was committed before it.
    let sql = sql(
        "{}SET synchronous_commit = on;\nBEGIN;\n{}{}COMMIT;\n",
        &[&NEUTRAL_SETTINGS.into(), &vacate, &renames],
    );
    let mut tries = 0;
    let mut waiting = None;
    loop {
        let Err(error) = cluster
            .server
            .execute(Some(&cluster.survey.maintenance), &sql)
        else {
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
    match &target.destination {
        Destination::Beside(working) => Some(working.ascii()),
        // These have their names.
        Destination::NamedEarly { .. } | Destination::InPlace(_) => None,
    }
}

/// Closes the restored databases to new connections, and commits that. Returns those that were open until now.
///
/// It is not done earlier, because the workers of a parallel index build connect too, and older servers would refuse them.
fn close(cluster: &Cluster, working: &[&str]) -> Result<Vec<String>, Error> {
    let mut sql = format!(
        "{NEUTRAL_SETTINGS}SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND datname IN ({});\n",
        literals(working)
    );
    for name in working {
        let name = quote_ident(name);
        sql.push_str(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false;\n"));
    }
    let rows = cluster
        .server
        .query(Some(&cluster.survey.maintenance), &sql)?;
    let names = rows.into_iter().flatten().flatten();
    Ok(names.map(|name| name.to_string()).collect())
}

/// The statements that give one database its name, and open it if it was open. Sessions in the old database are ended right
/// before it is renamed: whoever connects again waits for the lock of the rename.
fn renames(target: &Target, args: &Args, open: &[String]) -> PgText {
    let Some(working) = working(target) else {
        return PgText::default();
    };
    let name = quote_ident(&target.name);
    let mut all = Vec::new();
    if let Some(kept) = target.replaced.kept_as() {
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

/// Working names as SQL; they are ASCII.
fn literals(names: &[&str]) -> String {
    PgText::join(names.iter().map(quote_literal), ", ").to_string()
}

/// Whether the names were changed although the answer was lost. The names themselves tell.
fn is_done(cluster: &Cluster, working: &[&str], lost: &pg_client::Error) -> Result<bool, Error> {
    let sql = format!(
        "SELECT count(*) FROM pg_catalog.pg_database WHERE datname IN ({})",
        literals(working)
    );
    match cluster.server.query(Some(&cluster.survey.maintenance), &sql) {
        Ok(rows) => {
            let count = rows.first().and_then(|row| row.first()?.as_ref());
            Ok(count.is_some_and(|count| *count == "0"))
        }
        Err(error) => Err(Error::failed(format!(
            "everything was restored, but it is not known whether the databases got their names (all of them, or none): {lost}; then {error}"
        ))
        .hint("see what is there when the server answers: psql -l")),
    }
}

/// Refuses to replace a database that was empty when this run began, if somebody has filled it meanwhile.
fn refuse_filled(cluster: &Cluster, args: &Args, targets: &[Target]) -> Result<(), Error> {
    let named_now = targets.iter().filter(|it| working(it).is_some());
    for target in named_now.filter(|_| !args.replace) {
        if matches!(target.replaced, Replaced::Empty(_))
            && !is_empty(&cluster.server, &target.name)?
        {
            return Err(Error::refused(format!(
                "the database '{}' was empty, and was filled while this ran: nothing was changed",
                target.name
            ))
            .hint("--replace puts the restored one in its place and keeps it under another name"));
        }
    }
    Ok(())
}

/// Says who is in a restored database. They must leave, or a superuser must end their sessions.
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

/// The error if they did not leave in time.
fn not_ours(strangers: &[Session], error: &pg_client::Error) -> Error {
    Error::refused(format!(
        "the restored databases cannot get their names, and nothing was changed: {error}"
    ))
    .hint(format!(
        "a superuser can end these sessions: {}; keep what visits every database away, or restore as a superuser",
        how_to_end(strangers)
    ))
}

/// The error if the names cannot be changed, with those who stand in the way.
fn explained(
    cluster: &Cluster,
    args: &Args,
    targets: &[Target],
    error: &pg_client::Error,
) -> Error {
    let replaced = targets
        .iter()
        .filter(|target| target.replaced != Replaced::Nothing);
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

/// Drops the replaced databases: empty ones, and all of them with --drop-old. Returns those that are gone.
pub(crate) fn drop_old(cluster: &Cluster, args: &Args, targets: &[Target]) -> Vec<PgText> {
    let mut gone = Vec::new();
    for target in targets {
        let kept = match &target.replaced {
            Replaced::Empty(kept)
                if args.drop_old || is_empty(&cluster.server, kept).unwrap_or(false) =>
            {
                kept
            }
            Replaced::Kept(kept) if args.drop_old => kept,
            Replaced::Empty(kept) => {
                say!("'{kept}' is kept: it was empty, and is not any more");
                continue;
            }
            _ => continue,
        };
        let execute = |sql: &PgText| {
            cluster
                .server
                .execute(Some(&cluster.survey.maintenance), sql)
        };
        match execute(&drop_database(kept)) {
            Ok(()) => gone.push(kept.clone()),
            Err(error) => {
                say!("cannot drop '{kept}': {error}");
                // The drop has closed it. As it stays, it is opened again.
                let _ = execute(&open_database(kept));
            }
        }
    }
    gone
}
