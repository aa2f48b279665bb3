//! A backup without an index, or one that cannot be entered anywhere: read through once.

use std::mem;

use dump_text::{Event, Part, PartScanner, Piece};
use job::{Error, Progress};

use crate::checked::Checked;
use crate::choose::Chosen;
use crate::cli::Args;
use crate::edit::{DatabaseEdit, Definition, Edit, GlobalsEdit, Nowhere, is_setting};
use crate::keeper::Begun;
use crate::ledger::Ledger;
use crate::load::{Load, scanner, unfinished};
use crate::plan::{Target, is_wanted, not_among};
use crate::preflight::Cluster;
use crate::restore::Restored;
use crate::sections::{its_own, undivided, unplaced};
use crate::session::Killers;

/// How much SQL may come before it is clear what a dump is of.
const PRELUDE_LIMIT: usize = 1 << 20;

/// What `pg_dump --format=custom` begins with.
const CUSTOM_FORMAT: &[u8] = b"PGDMP";

/// Loads what the command line says. Nothing has its name when this returns.
pub(crate) fn load(
    chosen: &Chosen,
    cluster: &Cluster,
    args: &Args,
    begun: &Begun,
    ledger: &mut Ledger,
) -> Result<Restored, Error> {
    let mut input = Checked::whole(chosen, args.threads())?;
    let progress = Progress::new(format!("restoring '{}'", chosen.label()), None);
    let mut passage = Passage {
        cluster,
        args,
        begun,
        killers: Killers::noting(ledger.first_failure()),
        ledger,
        stage: Stage::Opening(Vec::new()),
        kind: Kind::Unknown,
        definitions: Vec::new(),
        names: Vec::new(),
        restored: Restored::default(),
    };
    let mut scanner = match cluster.restrict {
        true => PartScanner::new(),
        false => PartScanner::wary(),
    };
    let mut begun_reading = false;
    while let Some(sql) = input.next()? {
        if !begun_reading && sql.starts_with(CUSTOM_FORMAT) {
            return Err(custom_format(&chosen.label()));
        }
        begun_reading = true;
        let length = sql.len() as u64;
        scanner.feed(sql, &mut |event| passage.event(event))?;
        progress.advance(length);
    }
    input.finish()?;
    let ended = scanner.finish(&mut |event| passage.event(event))?;
    ended.map_err(|how| unfinished(&chosen.label(), how))?;
    if input.is_foreign() && passage.kind == Kind::Unknown {
        return Err(Error::not_good(format!(
            "'{}' is no dump of pg_dump or pg_dumpall: whether it is whole is not known",
            chosen.label()
        ))
        .hint("feed it to psql yourself: restore-stream BACKUP -- psql"));
    }
    passage.end(&chosen.label())
}

/// What pg_dump says of the server before the first statement of each database.
const DUMPED_FROM: &[u8] = b"-- Dumped from database version ";

fn custom_format(label: &str) -> Error {
    Error::not_good(format!(
        "'{label}' is in pg_dump's custom format, and not SQL"
    ))
    .hint("feed it to pg_restore: restore-stream BACKUP -- pg_restore -d DB --exit-on-error")
}

/// A dump passing by.
struct Passage<'a> {
    cluster: &'a Cluster,
    args: &'a Args,
    begun: &'a Begun,
    ledger: &'a mut Ledger,
    killers: Killers,
    stage: Stage,
    kind: Kind,
    /// What was said of databases before their parts.
    definitions: Vec<Definition>,
    /// The databases that passed.
    names: Vec<String>,
    restored: Restored,
}

/// What kind of dump it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unknown,
    /// Of pg_dumpall.
    Cluster,
    /// Of pg_dump.
    Database,
}

/// Where the next piece goes.
enum Stage {
    /// It is not clear yet: what came so far.
    Opening(Vec<u8>),
    Globals(Box<Load<GlobalsEdit>>),
    /// Roles that are not restored; databases may be defined among them.
    Definitions(Box<GlobalsEdit>),
    Database(Target, Box<Load<DatabaseEdit>>),
    /// What was not asked for.
    Other,
}

impl Passage<'_> {
    fn event(&mut self, event: Event<'_>) -> Result<(), Error> {
        match event {
            Event::Begin(part) => {
                self.leave()?;
                match part {
                    Part::Database(name) => self.enter(name),
                    Part::Globals | Part::End => Ok(()),
                }
            }
            Event::Piece(piece) => {
                self.look(piece)?;
                self.piece(piece)
            }
        }
    }

    /// What the dump says of itself in its comments.
    ///
    /// # Errors
    /// It is of a newer server than this one (exit code 4).
    fn look(&mut self, piece: Piece<'_>) -> Result<(), Error> {
        let Piece::Comment(line) = piece else {
            return Ok(());
        };
        if let Some(version) = line.strip_prefix(DUMPED_FROM) {
            let version = String::from_utf8_lossy(version);
            return self.cluster.check(version.trim(), self.args);
        }
        match (line.trim_ascii_end(), self.kind) {
            (b"-- PostgreSQL database cluster dump", Kind::Unknown) => self.kind = Kind::Cluster,
            (b"-- PostgreSQL database dump", Kind::Unknown) => self.kind = Kind::Database,
            _ => {}
        }
        Ok(())
    }

    fn piece(&mut self, piece: Piece<'_>) -> Result<(), Error> {
        match &mut self.stage {
            Stage::Other => Ok(()),
            Stage::Globals(load) => load.piece(piece),
            Stage::Definitions(edit) => edit.piece(piece, &mut Nowhere),
            Stage::Database(_, load) => load.piece(piece),
            Stage::Opening(prelude) => {
                let opens = match piece {
                    Piece::Statement(sql) | Piece::Head(sql) => !is_setting(sql),
                    Piece::Space(_) | Piece::Comment(_) | Piece::Command(_) => {
                        prelude.len() > PRELUDE_LIMIT
                    }
                    _ => true,
                };
                if !opens {
                    prelude.extend_from_slice(piece.bytes());
                    return Ok(());
                }
                self.open(piece)?;
                self.piece(piece)
            }
        }
    }

    /// The first statement that is more than a setting shows what a dump is of.
    fn open(&mut self, first: Piece<'_>) -> Result<(), Error> {
        let about = dump_text::subject(first.bytes());
        let unnamed = self.kind == Kind::Database && about.is_none();
        let Stage::Opening(prelude) = mem::replace(&mut self.stage, Stage::Other) else {
            return Ok(());
        };
        if unnamed {
            let name = self.args.name.as_ref().or(self.args.database.as_ref());
            let name = name.ok_or_else(|| {
                Error::usage("the backup is of one database, and does not say its name")
                    .hint("name it with --database NAME")
            })?;
            let target = Target::new(self.cluster, self.args, None, name)?;
            target.say();
            self.names.push(name.clone());
            let mut load = Load::database(self.cluster, &target, self.begun, &self.killers)?;
            load.connect()?;
            self.stage = Stage::Database(target, Box::new(load));
        } else {
            self.stage = self.globals()?;
        }
        let mut scanner = scanner(!self.cluster.restrict);
        scanner.feed(&prelude, &mut |piece| self.piece(piece))
    }

    fn globals(&mut self) -> Result<Stage, Error> {
        let edit = GlobalsEdit::new(
            self.cluster.roles.clone(),
            self.cluster.tablespaces.clone(),
            self.args.role_passwords,
            !self.cluster.restrict,
        )
        .granting(self.cluster.grantors.clone());
        if !self.args.globals() {
            return Ok(Stage::Definitions(Box::new(edit.for_definitions())));
        }
        let load = Load::globals(self.cluster, edit, &self.killers)?;
        if self.kind == Kind::Cluster {
            self.ledger.globals_begun();
        }
        Ok(Stage::Globals(Box::new(load)))
    }

    /// A database begins.
    fn enter(&mut self, name: &str) -> Result<(), Error> {
        self.names.push(name.to_owned());
        if !self.args.databases() || !is_wanted(self.args, name) {
            return Ok(());
        }
        let new = self.args.name.as_deref().unwrap_or(name);
        let target = Target::new(self.cluster, self.args, Some(name), new)?;
        target.say();
        let mut load = Load::database(self.cluster, &target, self.begun, &self.killers)?;
        load.define(its_own(&mut self.definitions, &target));
        self.stage = Stage::Database(target, Box::new(load));
        Ok(())
    }

    /// A part has ended.
    fn leave(&mut self) -> Result<(), Error> {
        match mem::replace(&mut self.stage, Stage::Other) {
            Stage::Opening(_) | Stage::Other => {}
            Stage::Globals(mut load) => {
                load.finish()?;
                self.ledger.enter(load.take_books());
                let mut edit = load.end()?;
                if self.kind == Kind::Cluster {
                    self.ledger.globals_done();
                }
                self.definitions.extend(edit.take_definitions());
            }
            Stage::Definitions(mut edit) => {
                self.ledger.enter(edit.take_books());
                self.definitions.extend(edit.take_definitions());
            }
            Stage::Database(target, mut load) if target.place.is_in_place() => {
                load.finish()?;
                self.ledger.enter(load.take_books());
                load.wait();
                self.restored.uncommitted.push((target, *load));
            }
            Stage::Database(target, mut load) => {
                load.finish()?;
                self.ledger.enter(load.take_books());
                let entry = load.end(&target)?;
                self.restored.beside.push((target, entry));
            }
        }
        Ok(())
    }

    fn restore_undivided(&mut self) -> Result<(), Error> {
        for name in undivided(&self.definitions, self.args) {
            self.enter(&name)?;
            self.leave()?;
        }
        Ok(())
    }

    /// The dump has ended, and was whole.
    fn end(mut self, label: &str) -> Result<Restored, Error> {
        self.leave()?;
        self.restore_undivided()?;
        let left = mem::take(&mut self.definitions);
        self.ledger.enter(unplaced(left, self.args));
        if let Some(name) = &self.args.database
            && self.restored.is_empty()
        {
            return Err(not_among(name, label, &self.names));
        }
        Ok(self.restored)
    }
}
