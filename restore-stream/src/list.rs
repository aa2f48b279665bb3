//! What a store or a backup holds.

use std::convert::Infallible;

use backup_file::{About, BackupKind, Base, Index, SectionKind, ServerRole, lsn};
use chrono::{TimeDelta, Utc};
use dump_text::{Event, Part, PartScanner, Piece};
use job::{Error, Progress, print, print_json, text};
use pg_text::PgText;
use serde_json::{Value, json};
use store::{QuickCheck, Store};

use crate::cli::Args;
use crate::load::part::is_insert;
use crate::source::checked::CheckedSql;
use crate::source::chosen::{ChosenBackup, moment};
use crate::source::error::unfinished;

/// Lists the backups of a store, or the databases of a backup.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    if Store::is_store(&args.backup) && !args.latest && args.before.is_none() {
        return backups(&Store::open_with(&args.backup, args.patience())?, args.json);
    }
    let chosen = ChosenBackup::new(args)?;
    match &chosen.index {
        Some(index) => match &index.base {
            Some(base) => base_backup(&index.about, base, args.json),
            None => sections(index, args.json),
        },
        None => databases(&chosen, args),
    }
}

/// The backups of a store, dumps first, each kind oldest first: name, size, moment, age, and state as their last bytes show it.
fn backups(store: &Store, as_json: bool) -> Result<(), Error> {
    let now = Utc::now();
    let mut all: Vec<Value> = Vec::new();
    for backup in store.list()?.all() {
        let started = backup.name.started();
        let glance = store.quick_check(backup)?;
        let about = match &glance {
            QuickCheck::Whole(Some(index)) => Some(index.about.clone()),
            _ => None,
        };
        let Some((state, why)) = state(glance) else {
            continue;
        };
        if as_json {
            all.push(json!({
                "name": backup.name.to_string(),
                "kind": kind(backup.name.kind()),
                "started": started.to_rfc3339(),
                "size": backup.size,
                "state": state,
                "why": why,
                "data_time": about.and_then(|about| about.data_time()).map(|it| it.to_rfc3339()),
            }));
            continue;
        }
        print(&format!(
            "{}  {:>10}  {}  {:>11}  {state}{}{}\n",
            backup.name,
            text::bytes(backup.size),
            moment(started),
            age(now - started),
            about.as_ref().map(of_a_standby).unwrap_or_default(),
            why.map(|why| format!(": {why}")).unwrap_or_default()
        ))?;
    }
    match as_json {
        true => print_json(&json!({ "backups": all })),
        false => Ok(()),
    }
}

/// `3 h old`, or a time in the future.
fn age(age: TimeDelta) -> String {
    let old = if age < TimeDelta::zero() { "" } else { " old" };
    text::age(age) + old
}

/// A backup's state in a word or two, and the reason for a bad one; none if it is gone.
fn state(glance: QuickCheck) -> Option<(&'static str, Option<String>)> {
    Some(match glance {
        QuickCheck::Gone => return None,
        QuickCheck::Whole(_) => ("whole", None),
        QuickCheck::Foreign => ("of another program", None),
        QuickCheck::NotGood(why) => ("not good", Some(why)),
        QuickCheck::Archived => ("archived", None),
        QuickCheck::NotAllowed(why) => ("not known", Some(why)),
    })
}

fn sections(index: &Index, as_json: bool) -> Result<(), Error> {
    let about = &index.about;
    let databases = index
        .sections
        .iter()
        .filter_map(|section| match &section.kind {
            SectionKind::Database(name) => Some((name, section)),
            _ => None,
        });
    if as_json {
        let all: Vec<Value> = databases
            .map(|(name, section)| {
                named(
                    name,
                    json!({
                        "name": name,
                        "size": section.length,
                        "sql_size": section.sql_length,
                        "seconds": section.seconds,
                        "rows": section.contents.as_ref().and_then(|held| held.rows),
                        "tables": section.contents.as_ref().map(|held| held.table_count),
                    }),
                )
            })
            .collect();
        let said = json!({
            "server_version": about.server_version,
            "client_version": about.client_version,
            "started": about.started.to_rfc3339(),
            "finished": about.finished.to_rfc3339(),
            "in_recovery": about.server_role.as_ref().map(ServerRole::is_standby),
            "data_time": about.data_time().map(|time| time.to_rfc3339()),
            "databases": all,
        });
        return print_json(&said);
    }
    print(&format!(
        "PostgreSQL {}, dumped from {} to {}{}\n",
        about.server_version,
        moment(about.started),
        about.finished.format("%H:%M:%S"),
        of_a_standby(about)
    ))?;
    for (name, section) in databases {
        print(&format!(
            "{:>10} of SQL  {:>10} compressed  {:>10} rows  {}\n",
            text::bytes(section.sql_length),
            text::bytes(section.length),
            known(section.contents.as_ref().and_then(|held| held.rows)),
            shown(name)
        ))?;
    }
    Ok(())
}

/// What a base backup is of: its databases are files, not SQL.
fn base_backup(about: &About, base: &Base, as_json: bool) -> Result<(), Error> {
    let (start, stop) = (base.start(), base.stop());
    if as_json {
        let databases = base.databases.iter();
        let databases: Vec<Value> = databases
            .map(|(oid, name)| named(name, json!({ "name": name, "oid": oid })))
            .collect();
        return print_json(&json!({
            "kind": kind(BackupKind::Base),
            "server_version": about.server_version,
            "client_version": about.client_version,
            "started": about.started.to_rfc3339(),
            "finished": about.finished.to_rfc3339(),
            "in_recovery": about.server_role.as_ref().map(ServerRole::is_standby),
            "data_time": about.data_time().map(|time| time.to_rfc3339()),
            "system_identifier": base.system_identifier.to_string(),
            "timeline": start.timeline,
            "start_lsn": lsn(start.start),
            "stop_lsn": lsn(stop.stop),
            "databases": databases,
        }));
    }
    print(&format!(
        "base backup of PostgreSQL {}, from {} to {}{}
         system {}, timeline {}, WAL from {} to {}
",
        about.server_version,
        moment(about.started),
        about.finished.format("%H:%M:%S"),
        of_a_standby(about),
        base.system_identifier,
        start.timeline,
        lsn(start.start),
        lsn(stop.stop)
    ))?;
    for (_, name) in &base.databases {
        print(&format!("{}\n", shown(name)))?;
    }
    Ok(())
}

/// A kind of backup in a document.
fn kind(kind: BackupKind) -> &'static str {
    match kind {
        BackupKind::Dump => "dump",
        BackupKind::Base => "base",
    }
}

/// Of which moment a standby's data are. Nothing of a primary.
fn of_a_standby(about: &About) -> String {
    match (&about.server_role, about.data_time()) {
        (Some(ServerRole::Standby(_)), Some(time)) => {
            format!(", from a standby with the data of {}", moment(time))
        }
        (Some(ServerRole::Standby(_)), None) => {
            ", from a standby with data of an unknown age".to_owned()
        }
        _ => String::new(),
    }
}

fn known(rows: Option<u64>) -> String {
    rows.map_or_else(|| "?".into(), |rows| rows.to_string())
}

/// A name on one line, whatever characters it has.
fn shown(name: &PgText) -> String {
    let name = name.to_string();
    name.replace('\n', "\\n").replace('\t', "\\t")
}

/// What JSON says of a database. If its name is not UTF-8, the name's bytes too.
fn named(name: &PgText, mut said: Value) -> Value {
    if name.utf8().is_none() {
        said["name_hex"] = name.hex().into();
    }
    said
}

/// The databases of a backup without an index, and their bytes of SQL.
fn databases(chosen: &ChosenBackup, args: &Args) -> Result<(), Error> {
    let mut input = CheckedSql::whole(chosen, args.threads())?;
    let progress = Progress::new(format!("reading '{}'", chosen.label()), None);
    let mut databases: Vec<(PgText, u64, Option<u64>)> = Vec::new();
    let mut inside = false;
    let mut look = |event: Event<'_>| {
        match event {
            Event::Begin(Part::Database(name)) => {
                databases.push((name.clone(), 0, Some(0)));
                inside = true;
            }
            Event::Begin(_) => inside = false,
            Event::Piece(piece) => {
                if let (true, Some((_, bytes, rows))) = (inside, databases.last_mut()) {
                    *bytes += piece.bytes().len() as u64;
                    match piece {
                        Piece::DataEnd { rows: more, .. } => *rows = rows.map(|it| it + more),
                        Piece::Statement(sql) | Piece::Head(sql) if is_insert(sql) => *rows = None,
                        _ => {}
                    }
                }
            }
        }
        Ok::<(), Infallible>(())
    };
    let mut scanner = PartScanner::new();
    while let Some(sql) = input.next()? {
        progress.advance(sql.len() as u64);
        let Ok(()) = scanner.feed(sql, &mut look);
    }
    input.finish()?;
    let Ok(ended) = scanner.finish(&mut look);
    ended.map_err(|how| unfinished(&chosen.label(), how))?;
    drop(progress);
    if args.json {
        let all: Vec<Value> = databases
            .iter()
            .map(|(name, bytes, rows)| {
                named(
                    name,
                    json!({ "name": name, "sql_size": bytes, "rows": rows }),
                )
            })
            .collect();
        let remarks = input.remarks();
        return print_json(&json!({ "databases": all, "remarks": remarks }));
    }
    for (name, bytes, rows) in &databases {
        let (size, rows, name) = (text::bytes(*bytes), known(*rows), shown(name));
        print(&format!("{size:>10} of SQL  {rows:>10} rows  {name}\n"))?;
    }
    Ok(())
}
