//! The SQL of a backup, or of one section of it, checked to the last byte.

use backup_file::{BackupKind, Ending, Reader, Section, SectionKind};
use dump_text::{PreambleFilter, Watch};
use job::{Error, say};
use pg_text::PgText;
use store::DigestCheck;

use crate::cli::Args;
use crate::source::chosen::ChosenBackup;
use crate::source::error::{base_backup, cut, not_good};
use crate::source::selection::{is_wanted, no_such_database};

/// SQL that is checked as it is read. Whether it is whole is known only after [`CheckedSql::finish`].
pub(crate) struct CheckedSql<'a> {
    chosen: &'a ChosenBackup,
    reader: Option<Reader>,
    /// The SHA-256 of the whole backup, if one was recorded.
    recorded: Option<DigestCheck>,
    /// How many bytes of SQL there are, if that is known.
    length: Option<u64>,
    whole: bool,
    /// Whether it has no index. Then only the dump's own closing line shows that it is whole: the marker does not, because
    /// bgzip writes it too.
    foreign: bool,
    watch: Watch,
    /// The first SQL, without text before the dump that is no SQL. (There is none before a section.)
    first: Vec<u8>,
    entered: bool,
    /// What it is, once its first bytes have come. A base backup is no SQL: nothing of it is looked at.
    kind: Option<BackupKind>,
    /// Whether it may be a base backup.
    takes_base: bool,
}

impl<'a> CheckedSql<'a> {
    /// Opens what the command line asks for: one database, if an index says where it is, or everything, also of a base
    /// backup.
    pub(crate) fn open(chosen: &'a ChosenBackup, args: &Args) -> Result<Self, Error> {
        let (Some(database), Some(index)) = (&args.database, &chosen.index) else {
            let whole = Self::whole(chosen, args.threads())?;
            let takes_base = args.database.is_none();
            return Ok(Self {
                takes_base,
                ..whole
            });
        };
        if index.kind() == BackupKind::Base {
            return Err(base_backup(&chosen.label()));
        }
        let is_it = |name: &PgText| is_wanted(args, Some(index), name);
        let mut sections = index.sections.iter();
        match sections.find(|it| matches!(&it.kind, SectionKind::Database(name) if is_it(name))) {
            Some(section) => Self::section(chosen, section, args.threads()),
            None => Err(no_such_database(&chosen.label(), index, database)),
        }
    }

    /// Opens everything but the index.
    pub(crate) fn whole(chosen: &'a ChosenBackup, threads: usize) -> Result<Self, Error> {
        let length = chosen
            .index
            .as_ref()
            .and_then(|index| index.sections.last())
            .map(|last| last.sql_offset + last.sql_length);
        let (input, recorded) = chosen.source.checked_reader()?;
        Ok(Self {
            chosen,
            reader: Some(Reader::whole(input, threads).sql_only()),
            recorded,
            length,
            whole: true,
            foreign: false,
            watch: match chosen.index {
                Some(_) => Watch::default(),
                None => Watch::thorough(),
            },
            first: Vec::new(),
            entered: false,
            kind: None,
            takes_base: false,
        })
    }

    /// Opens one section.
    pub(crate) fn section(
        chosen: &'a ChosenBackup,
        section: &Section,
        threads: usize,
    ) -> Result<Self, Error> {
        let input = chosen.source.range(section.offset, section.length)?;
        Ok(Self {
            chosen,
            reader: Some(Reader::section(input, section, threads)),
            recorded: None,
            length: Some(section.sql_length),
            whole: false,
            foreign: false,
            watch: Watch::default(),
            first: Vec::new(),
            entered: true,
            kind: Some(BackupKind::Dump),
            takes_base: false,
        })
    }

    pub(crate) fn sql_length(&self) -> Option<u64> {
        self.length
    }

    /// Its name for people.
    pub(crate) fn label(&self) -> String {
        self.chosen.label()
    }

    /// Remarks for a person about what is odd. They are known when the first SQL has come.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let oddities = self.watch.oddities();
        oddities.iter().map(ToString::to_string).collect()
    }

    /// The next SQL; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, Error> {
        if !self.entered {
            self.entered = true;
            self.first = self.enter()?;
            if !self.first.is_empty() {
                return Ok(Some(&self.first));
            }
        }
        self.read()
    }

    /// Reads until the dump begins, says what is odd about it, and returns its first SQL.
    fn enter(&mut self) -> Result<Vec<u8>, Error> {
        let mut entrance = PreambleFilter::default();
        let mut first = Vec::new();
        while !entrance.is_open() {
            // Nearly always the dump begins in the first piece.
            let piece = self.read()?.map(<[u8]>::to_vec);
            if self.is_base() {
                return Ok(piece.unwrap_or_default());
            }
            first.extend_from_slice(match &piece {
                Some(sql) => entrance.pass(sql),
                None => entrance.end(),
            });
        }
        let label = self.chosen.label();
        let checked = self.watch.check_opening();
        checked.map_err(|flaw| not_good(&label, flaw))?;
        for remark in self.remarks() {
            say!("warning: '{label}': {remark}");
        }
        Ok(first)
    }

    fn read(&mut self) -> Result<Option<&[u8]>, Error> {
        let Some(reader) = &mut self.reader else {
            return Ok(None);
        };
        let sql = reader
            .next()
            .map_err(|error| self.chosen.source.read_error(&error))?;
        if let Some(sql) = sql {
            let kind = self.kind.get_or_insert_with(|| BackupKind::of_text(sql));
            if *kind == BackupKind::Base {
                return match self.takes_base {
                    true => Ok(Some(sql)),
                    false => Err(base_backup(&self.chosen.label())),
                };
            }
            self.watch.see(sql);
            // It is refused before psql gets it.
            if let Some(flaw) = self.watch.flaw() {
                return Err(not_good(&self.chosen.label(), flaw));
            }
        }
        Ok(sql)
    }

    fn is_base(&self) -> bool {
        self.kind == Some(BackupKind::Base)
    }

    /// Checks what can only be checked at the end.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        let Some(reader) = self.reader.take() else {
            return Ok(());
        };
        let report = reader
            .finish()
            .map_err(|error| self.chosen.source.read_error(&error))?;
        if self.whole {
            if report.ending == Ending::NoMarker {
                return Err(cut(&self.chosen.label()));
            }
            self.foreign = report.index.is_none();
            if self.foreign && !self.is_base() {
                let checked = self.watch.check();
                checked.map_err(|flaw| not_good(&self.chosen.label(), flaw))?;
            }
            if let Some(recorded) = &self.recorded {
                recorded.check()?;
            }
        }
        Ok(())
    }

    /// After [`CheckedSql::finish`]: whether it has no index, so that only the dump's own closing line shows that it is whole.
    pub(crate) fn is_foreign(&self) -> bool {
        self.foreign
    }
}
