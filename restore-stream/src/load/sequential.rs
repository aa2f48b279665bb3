//! Restores a backup without an index, or one from a pipe: it is read once, from its beginning to its end.

use std::collections::BTreeSet;
use std::mem;

use dump_text::{Event, Part, PartScanner, Piece, client_encoding, is_setting};
use job::{Error, Progress, say};
use pg_text::PgText;

use crate::cli::Args;
use crate::edit::{Created, DatabaseEdit, Definition, Edit, GlobalsEdit, Nowhere, TableChoice};
use crate::load::definitions::{its_own, undivided, unplaced};
use crate::load::part::{Load, scanner};
use crate::load::restored::Restored;
use crate::load::{arrival, globals};
use crate::report::Report;
use crate::server::cleanup::Cleanup;
use crate::server::cluster::Cluster;
use crate::server::names::NewNames;
use crate::server::session_group::SessionGroup;
use crate::server::target::Target;
use crate::source::checked::CheckedSql;
use crate::source::chosen::ChosenBackup;
use crate::source::error::unfinished;
use crate::source::selection::{is_wanted, not_among};

/// At most this much SQL may come before it is clear what kind of dump it is.
const PRELUDE_LIMIT: usize = 1 << 20;

/// What `pg_dump --format=custom` begins with.
const CUSTOM_FORMAT: &[u8] = b"PGDMP";

/// Loads what the command line asks for. No new database has its name when this returns.
pub(crate) fn load(
    chosen: &ChosenBackup,
    cluster: &Cluster,
    new_names: &mut NewNames,
    args: &Args,
    cleanup: &Cleanup,
    report: &mut Report,
) -> Result<Restored, Error> {
    let mut input = CheckedSql::whole(chosen, args.threads())?;
    let progress = Progress::new(format!("restoring '{}'", chosen.label()), None);
    let mut restore = SequentialRestore {
        cluster,
        new_names,
        args,
        cleanup,
        sessions: SessionGroup::new(report.first_failure()),
        report,
        stage: Stage::Opening(Vec::new()),
        kind: DumpKind::Unknown,
        dumps: 0,
        existing: Existing::of(cluster),
        definitions: Vec::new(),
        names: Vec::new(),
        encoding: None,
        restored: Restored::default(),
    };
    let mut scanner = match cluster.restrict {
        true => PartScanner::new(),
        false => PartScanner::reporting_ambiguity(),
    };
    let mut begun_reading = false;
    while let Some(sql) = input.next()? {
        if !begun_reading && sql.starts_with(CUSTOM_FORMAT) {
            return Err(custom_format(&chosen.label()));
        }
        begun_reading = true;
        let length = sql.len() as u64;
        scanner.feed(sql, &mut |event| restore.event(event))?;
        progress.advance(length);
    }
    input.finish()?;
    let ended = scanner.finish(&mut |event| restore.event(event))?;
    ended.map_err(|how| unfinished(&chosen.label(), how))?;
    if input.is_foreign() && restore.kind == DumpKind::Unknown {
        return Err(Error::not_good(format!(
            "'{}' is no dump of pg_dump or pg_dumpall: whether it is whole is not known",
            chosen.label()
        ))
        .hint("feed it to psql yourself: restore-stream BACKUP -- psql"));
    }
    restore.end(&chosen.label())
}

/// What pg_dump says of the server before the first statement of each database.
const DUMPED_FROM: &[u8] = b"-- Dumped from database version ";

fn custom_format(label: &str) -> Error {
    Error::not_good(format!(
        "'{label}' is in pg_dump's custom format, and not SQL"
    ))
    .hint("feed it to pg_restore: restore-stream BACKUP -- pg_restore -d DB --exit-on-error")
}

/// A restore that reads the dump from its beginning to its end, and finds out on the way what comes.
struct SequentialRestore<'a> {
    cluster: &'a Cluster,
    new_names: &'a mut NewNames,
    args: &'a Args,
    cleanup: &'a Cleanup,
    report: &'a mut Report,
    sessions: SessionGroup,
    stage: Stage,
    kind: DumpKind,
    /// How many dumps have begun in the current part.
    dumps: u32,
    /// What existed before, or was created on the way.
    existing: Existing,
    /// Statements about databases that came before their parts.
    definitions: Vec<Definition>,
    /// The databases that have come so far.
    names: Vec<PgText>,
    /// The encoding of names before the first database.
    encoding: Option<String>,
    restored: Restored,
}

/// Roles and tablespaces that exist.
struct Existing {
    roles: BTreeSet<PgText>,
    tablespaces: BTreeSet<PgText>,
}

impl Existing {
    fn of(cluster: &Cluster) -> Self {
        Self {
            roles: cluster.survey.roles.clone(),
            tablespaces: cluster.survey.tablespaces.clone(),
        }
    }

    fn add(&mut self, created: Created) {
        self.roles.extend(created.roles);
        self.tablespaces.extend(created.tablespaces);
    }
}

/// What kind of dump it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DumpKind {
    Unknown,
    /// Of pg_dumpall.
    Cluster,
    /// Of pg_dump.
    Database,
}

/// Where the next piece goes.
enum Stage {
    /// Nowhere yet, as it is not clear what comes. This has come so far.
    Opening(Vec<u8>),
    Globals(Box<Load<GlobalsEdit>>),
    /// Roles that are not restored. There may be statements about databases among them.
    Definitions(Box<GlobalsEdit>),
    Database(Target, Box<Load<DatabaseEdit>>),
    /// Nowhere: it was not asked for.
    Other,
}

impl SequentialRestore<'_> {
    fn event(&mut self, event: Event<'_>) -> Result<(), Error> {
        match event {
            Event::Begin(part) => {
                let prelude = match &mut self.stage {
                    Stage::Opening(prelude) => mem::take(prelude),
                    _ => Vec::new(),
                };
                self.leave()?;
                self.dumps = 0;
                match part {
                    Part::Database(name) => self.enter(name),
                    Part::Unnamed => self.enter_unnamed(&prelude),
                    Part::Globals => {
                        self.stage = Stage::Opening(prelude);
                        Ok(())
                    }
                    Part::End => Ok(()),
                }
            }
            Event::Piece(piece) => {
                self.look(piece)?;
                self.piece(piece)
            }
        }
    }

    /// Reads what the dump says about itself in comments.
    ///
    /// # Errors
    /// It is of a newer server than this one (exit code 4).
    fn look(&mut self, piece: Piece<'_>) -> Result<(), Error> {
        if let Piece::Statement(sql) = piece
            && self.encoding.is_none()
        {
            self.encoding = client_encoding(sql);
        }
        let Piece::Comment(line) = piece else {
            return Ok(());
        };
        if let Some(version) = line.strip_prefix(DUMPED_FROM) {
            let version = PgText::from(version).to_string();
            let survey = &self.cluster.survey;
            return survey.check_version(version.trim(), self.args.older_server);
        }
        match line.trim_ascii_end() {
            b"-- PostgreSQL database cluster dump" => self.kind = DumpKind::Cluster,
            b"-- PostgreSQL database dump" => self.begin_dump(),
            _ => {}
        }
        Ok(())
    }

    fn begin_dump(&mut self) {
        if self.kind == DumpKind::Unknown {
            self.kind = DumpKind::Database;
        }
        self.dumps += 1;
        if let (2, Stage::Database(target, _)) = (self.dumps, &self.stage) {
            say!(
                "another dump follows that names no database: it goes into '{}' too, as with psql",
                target.name
            );
        }
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
                self.open()?;
                self.piece(piece)
            }
        }
    }

    /// The first statement that is more than a setting has come: the dump begins with roles.
    fn open(&mut self) -> Result<(), Error> {
        let Stage::Opening(prelude) = mem::replace(&mut self.stage, Stage::Other) else {
            return Ok(());
        };
        self.stage = self.globals()?;
        self.again(&prelude)
    }

    /// The dump of a database begins, and does not name it.
    fn enter_unnamed(&mut self, prelude: &[u8]) -> Result<(), Error> {
        if !self.args.databases() {
            return Ok(());
        }
        let name = self.args.name.as_ref().or(self.args.database.as_ref());
        let name = name.ok_or_else(|| {
            let error =
                Error::usage("the backup is of one database, and does not say its name");
            match self.kind {
                DumpKind::Cluster => error.hint("name it with --database NAME; the roles before it are restored with --globals-only"),
                _ => error.hint("name it with --database NAME"),
            }
        })?;
        let target = arrival::target(self.cluster, self.args, self.new_names, None, name)?;
        self.names.push(name.clone());
        let encoding = self.encoding.as_deref();
        let mut load = Load::database(
            self.cluster,
            &target,
            encoding,
            self.cleanup,
            &self.sessions,
        )?;
        load.choose(TableChoice::of(self.args)?);
        load.connect()?;
        self.stage = Stage::Database(target, Box::new(load));
        self.again(prelude)
    }

    /// Handles what was kept.
    fn again(&mut self, kept: &[u8]) -> Result<(), Error> {
        let mut scanner = scanner(!self.cluster.restrict);
        scanner.feed(kept, &mut |piece| self.piece(piece))
    }

    fn globals(&mut self) -> Result<Stage, Error> {
        let Existing { roles, tablespaces } = &self.existing;
        let edit = globals::edit(self.cluster, self.args, roles, tablespaces);
        if !self.args.globals() {
            return Ok(Stage::Definitions(Box::new(edit.for_definitions())));
        }
        let load = Load::globals(self.cluster, edit, &self.sessions)?;
        if self.kind == DumpKind::Cluster {
            self.report.globals_begun();
        }
        Ok(Stage::Globals(Box::new(load)))
    }

    /// A database begins.
    fn enter(&mut self, name: &PgText) -> Result<(), Error> {
        self.names.push(name.clone());
        if !self.args.databases() || !is_wanted(self.args, None, name) {
            return Ok(());
        }
        let encoding = self.encoding.as_deref();
        let new = self
            .cluster
            .name_on_server(name, self.args.name.as_ref(), encoding)?;
        let target = arrival::target(self.cluster, self.args, self.new_names, Some(name), &new)?;
        let mut load = Load::database(
            self.cluster,
            &target,
            encoding,
            self.cleanup,
            &self.sessions,
        )?;
        load.define(its_own(&mut self.definitions, &target));
        load.choose(TableChoice::of(self.args)?);
        self.stage = Stage::Database(target, Box::new(load));
        Ok(())
    }

    /// A part has ended.
    fn leave(&mut self) -> Result<(), Error> {
        match mem::replace(&mut self.stage, Stage::Other) {
            Stage::Opening(_) | Stage::Other => {}
            Stage::Globals(mut load) => {
                load.finish()?;
                self.report.enter(load.take_tally());
                let mut edit = load.end()?;
                if self.kind == DumpKind::Cluster {
                    self.report.globals_done();
                }
                self.existing.add(edit.take_created());
                self.definitions.extend(edit.take_definitions());
            }
            Stage::Definitions(mut edit) => {
                self.report.enter(edit.take_tally());
                self.definitions.extend(edit.take_definitions());
            }
            Stage::Database(target, mut load) if target.destination.is_in_place() => {
                load.finish_chosen(target.from.as_ref().unwrap_or(&target.name))?;
                self.report.enter(load.take_tally());
                load.wait();
                self.restored.uncommitted.push((target, *load));
            }
            Stage::Database(target, mut load) => {
                load.finish_chosen(target.from.as_ref().unwrap_or(&target.name))?;
                self.report.enter(load.take_tally());
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

    /// The dump has ended, and is whole.
    fn end(mut self, label: &str) -> Result<Restored, Error> {
        self.leave()?;
        self.restore_undivided()?;
        let left = mem::take(&mut self.definitions);
        self.report.enter(unplaced(left, self.args));
        if let Some(name) = &self.args.database
            && self.restored.is_empty()
        {
            return Err(not_among(name, label, &self.names));
        }
        Ok(self.restored)
    }
}
