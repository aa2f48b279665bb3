//! A backup without an index, or one that cannot be entered anywhere: read through once.

use std::collections::BTreeSet;
use std::mem;

use dump_text::{Event, Part, PartScanner, Piece, client_encoding, is_setting};
use job::{Error, Progress, say};
use pg_text::PgText;

use crate::checked::Checked;
use crate::choose::Chosen;
use crate::cli::Args;
use crate::edit::{Created, DatabaseEdit, Definition, Edit, GlobalsEdit, Nowhere};
use crate::keeper::Begun;
use crate::ledger::Ledger;
use crate::load::{Load, scanner, unfinished};
use crate::plan::{Target, is_wanted, name_here, not_among};
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
        dumps: 0,
        there: There::of(cluster),
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
    /// How many dumps have begun in the part that passes.
    dumps: u32,
    /// What was there before, or was created on the way.
    there: There,
    /// What was said of databases before their parts.
    definitions: Vec<Definition>,
    /// The databases that passed.
    names: Vec<PgText>,
    /// The encoding that names are written in, up to the first database.
    encoding: Option<String>,
    restored: Restored,
}

/// Roles and tablespaces that are there.
struct There {
    roles: BTreeSet<PgText>,
    tablespaces: BTreeSet<PgText>,
}

impl There {
    fn of(cluster: &Cluster) -> Self {
        Self {
            roles: cluster.roles.clone(),
            tablespaces: cluster.tablespaces.clone(),
        }
    }

    fn add(&mut self, created: Created) {
        self.roles.extend(created.roles);
        self.tablespaces.extend(created.tablespaces);
    }
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

    /// What the dump says of itself in its comments.
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
            return self.cluster.check(version.trim(), self.args);
        }
        match line.trim_ascii_end() {
            b"-- PostgreSQL database cluster dump" => self.kind = Kind::Cluster,
            b"-- PostgreSQL database dump" => self.begin_dump(),
            _ => {}
        }
        Ok(())
    }

    fn begin_dump(&mut self) {
        if self.kind == Kind::Unknown {
            self.kind = Kind::Database;
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

    /// The first statement that is more than a setting: it is about roles, or says what comes of databases.
    fn open(&mut self) -> Result<(), Error> {
        let Stage::Opening(prelude) = mem::replace(&mut self.stage, Stage::Other) else {
            return Ok(());
        };
        self.stage = self.globals()?;
        self.again(&prelude)
    }

    /// The dump of a database begins that does not say which.
    fn enter_unnamed(&mut self, prelude: &[u8]) -> Result<(), Error> {
        if !self.args.databases() {
            return Ok(());
        }
        let name = self.args.name.as_ref().or(self.args.database.as_ref());
        let name = name.ok_or_else(|| {
            let error =
                Error::usage("the backup is of one database, and does not say its name");
            match self.kind {
                Kind::Cluster => error.hint("name it with --database NAME; the roles before it are restored with --globals-only"),
                _ => error.hint("name it with --database NAME"),
            }
        })?;
        let target = Target::new(self.cluster, self.args, None, name)?;
        target.say();
        self.names.push(name.clone());
        let encoding = self.encoding.as_deref();
        let mut load = Load::database(self.cluster, &target, encoding, self.begun, &self.killers)?;
        load.connect()?;
        self.stage = Stage::Database(target, Box::new(load));
        self.again(prelude)
    }

    /// Hands on what was kept.
    fn again(&mut self, kept: &[u8]) -> Result<(), Error> {
        let mut scanner = scanner(!self.cluster.restrict);
        scanner.feed(kept, &mut |piece| self.piece(piece))
    }

    fn globals(&mut self) -> Result<Stage, Error> {
        let edit = GlobalsEdit::new(
            self.there.roles.clone(),
            self.there.tablespaces.clone(),
            self.args.role_passwords,
            !self.cluster.restrict,
        )
        .granting(self.cluster.grantors.clone())
        .on(self.cluster.names.clone());
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
    fn enter(&mut self, name: &PgText) -> Result<(), Error> {
        self.names.push(name.clone());
        if !self.args.databases() || !is_wanted(self.args, None, name) {
            return Ok(());
        }
        let encoding = self.encoding.as_deref();
        let new = name_here(self.cluster, self.args, name, encoding)?;
        let target = Target::new(self.cluster, self.args, Some(name), &new)?;
        target.say();
        let mut load = Load::database(self.cluster, &target, encoding, self.begun, &self.killers)?;
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
                self.there.add(edit.take_created());
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
