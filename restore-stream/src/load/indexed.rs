//! Restores a backup with an index: each part goes through a psql of its own, from its own bytes of the backup.

use backup_file::Section;
use job::{Error, Progress};

use crate::cli::Args;
use crate::edit::{Definition, Edit, Nowhere, TableChoice, Tally};
use crate::load::definitions::{its_own, undivided, unplaced};
use crate::load::parallel::{self, Part, Setting};
use crate::load::part::{Load, scanner};
use crate::load::restored::Restored;
use crate::load::{arrival, globals, tables};
use crate::plan::Plan;
use crate::report::Report;
use crate::server::cleanup::Cleanup;
use crate::server::cluster::Cluster;
use crate::server::names::NewNames;
use crate::server::session_group::SessionGroup;
use crate::source::checked::CheckedSql;
use crate::source::chosen::ChosenBackup;
use crate::source::error::unfinished;

/// Loads what the plan says. No new database has its name when this returns.
pub(crate) fn load(
    chosen: &ChosenBackup,
    plan: &Plan,
    cluster: &Cluster,
    new_names: &mut NewNames,
    args: &Args,
    cleanup: &Cleanup,
    report: &mut Report,
) -> Result<Restored, Error> {
    let progress = Progress::new(
        format!("restoring '{}'", chosen.label()),
        Some(plan.sql_length()),
    );
    let sessions = SessionGroup::new(report.first_failure());
    let mut definitions = match &plan.globals {
        Some(section) => {
            load_globals(chosen, section, cluster, args, &sessions, &progress, report)?
        }
        None => Vec::new(),
    };
    let mut restored = Restored::default();
    let parts: Vec<Part<'_>> = plan
        .databases
        .iter()
        .map(|(section, target)| Part {
            section,
            target,
            definitions: its_own(&mut definitions, target),
        })
        .collect();
    let encoding = chosen.encoding();
    let mut tally = Tally::default();
    let (in_place, beside): (Vec<_>, Vec<_>) = parts
        .iter()
        .partition(|part| part.target.destination.is_in_place());
    let setting = Setting {
        chosen,
        cluster,
        args,
        cleanup,
        sessions: &sessions,
        progress: &progress,
    };
    for part in in_place {
        let Part {
            section,
            target,
            definitions,
        } = part;
        let mut load = match TableChoice::of(args)? {
            Some(choice) => tables::load(setting, part, choice, args.threads())?,
            None => {
                let mut input = CheckedSql::section(chosen, section, args.threads())?;
                let mut load = Load::database(cluster, target, encoding, cleanup, &sessions)?;
                load.define(definitions.clone());
                load.all(&mut input, &progress)?;
                load
            }
        };
        tally.add(load.take_tally());
        load.wait();
        restored.uncommitted.push(((*target).clone(), load));
    }
    let entries = match TableChoice::of(args)? {
        Some(choice) => {
            let one = |part: &&Part<'_>| {
                let mut load = tables::load(setting, part, choice.clone(), args.threads())?;
                tally.add(load.take_tally());
                load.end(part.target)
            };
            beside.iter().map(one).collect::<Result<_, Error>>()?
        }
        None => parallel::load(setting, &beside, &mut tally)?,
    };
    for (part, entry) in beside.into_iter().zip(entries) {
        restored.beside.push((part.target.clone(), entry));
    }
    report.enter(tally);
    for name in undivided(&definitions, args) {
        let here = cluster.name_on_server(&name, args.name.as_ref(), encoding)?;
        let target = arrival::target(cluster, args, new_names, Some(&name), &here)?;
        let mut load = Load::database(cluster, &target, encoding, cleanup, &sessions)?;
        load.define(its_own(&mut definitions, &target));
        load.finish()?;
        report.enter(load.take_tally());
        let entry = load.end(&target)?;
        restored.beside.push((target, entry));
    }
    report.enter(unplaced(definitions, args));
    Ok(restored)
}

/// Restores roles and tablespaces, if they are asked for. Returns the statements about databases among them, which dumps of
/// pg_dumpall 10 and older have.
fn load_globals(
    chosen: &ChosenBackup,
    section: &Section,
    cluster: &Cluster,
    args: &Args,
    sessions: &SessionGroup,
    progress: &Progress,
    report: &mut Report,
) -> Result<Vec<Definition>, Error> {
    let mut input = CheckedSql::section(chosen, section, args.threads())?;
    let survey = &cluster.survey;
    let edit = globals::edit(cluster, args, &survey.roles, &survey.tablespaces);
    if !args.globals() {
        let mut edit = edit.for_definitions();
        let mut scanner = scanner(!cluster.restrict);
        while let Some(sql) = input.next()? {
            scanner.feed(sql, &mut |piece| edit.piece(piece, &mut Nowhere))?;
        }
        input.finish()?;
        let ended = scanner.finish(&mut |piece| edit.piece(piece, &mut Nowhere))?;
        ended.map_err(|how| unfinished(&input.label(), how))?;
        report.enter(edit.take_tally());
        return Ok(edit.take_definitions());
    }
    let mut load = Load::globals(cluster, edit, sessions)?;
    report.globals_begun();
    load.all(&mut input, progress)?;
    report.enter(load.take_tally());
    let mut edit = load.end()?;
    report.globals_done();
    Ok(edit.take_definitions())
}
