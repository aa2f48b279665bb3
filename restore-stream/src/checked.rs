//! The SQL of a backup, or of one section of it, checked to the last byte.

use backup_file::{Ending, Reader, Section, SectionKind};
use dump_text::{Flaw, PreambleFilter, Watch};
use job::{Error, say};
use pg_text::PgText;
use store::DigestCheck;

use crate::choose::{Chosen, cut};
use crate::cli::Args;
use crate::plan::is_wanted;

/// SQL that is checked as it is read. Only [`Checked::finish`] says that it was whole.
pub(crate) struct Checked<'a> {
    chosen: &'a Chosen,
    reader: Option<Reader>,
    /// The SHA-256 of all of it, where one was recorded.
    recorded: Option<DigestCheck>,
    /// How many bytes of SQL it has, where that is known.
    length: Option<u64>,
    whole: bool,
    /// Whether it has no index: then its own closing line must say that the dump is whole. The marker
    /// alone does not: bgzip writes it too.
    foreign: bool,
    watch: Watch,
    /// The first SQL, without what stands before the dump and is none. Nothing stands before a section.
    first: Vec<u8>,
    entered: bool,
}

impl<'a> Checked<'a> {
    /// What the command line names: one database by the index, or all, where there is no index too.
    pub(crate) fn open(chosen: &'a Chosen, args: &Args) -> Result<Self, Error> {
        let (Some(database), Some(index)) = (&args.database, &chosen.index) else {
            return Self::whole(chosen, args.threads());
        };
        let is_it = |name: &PgText| is_wanted(args, Some(index), name);
        let mut sections = index.sections.iter();
        match sections.find(|it| matches!(&it.kind, SectionKind::Database(name) if is_it(name))) {
            Some(section) => Self::section(chosen, section, args.threads()),
            None => Err(crate::plan::no_such_database(chosen, index, database)),
        }
    }

    /// All of it but its index.
    pub(crate) fn whole(chosen: &'a Chosen, threads: usize) -> Result<Self, Error> {
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
        })
    }

    /// One section of it.
    pub(crate) fn section(
        chosen: &'a Chosen,
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
        })
    }

    pub(crate) fn sql_length(&self) -> Option<u64> {
        self.length
    }

    /// Its name for people.
    pub(crate) fn label(&self) -> String {
        self.chosen.label()
    }

    /// What is odd about it, for a person: known when the first SQL has come.
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

    /// Reads until it is clear what it is, says what is odd about it, and gives what of that is SQL.
    fn enter(&mut self) -> Result<Vec<u8>, Error> {
        let mut entrance = PreambleFilter::default();
        let mut first = Vec::new();
        while !entrance.is_open() {
            first.extend_from_slice(match self.read()? {
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
            self.watch.see(sql);
            // Not after psql has stumbled over it.
            if let Some(flaw) = self.watch.flaw() {
                return Err(not_good(&self.chosen.label(), flaw));
            }
        }
        Ok(sql)
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
            if self.foreign {
                let checked = self.watch.check();
                checked.map_err(|flaw| not_good(&self.chosen.label(), flaw))?;
            }
            if let Some(recorded) = &self.recorded {
                recorded.check()?;
            }
        }
        Ok(())
    }

    /// After [`Checked::finish`]: whether it has no index, so that nothing but the SQL's own closing line
    /// tells that it is whole.
    pub(crate) fn is_foreign(&self) -> bool {
        self.foreign
    }
}

/// The error of a dump that is not whole, or that psql cannot read.
pub(crate) fn not_good(label: &str, flaw: Flaw) -> Error {
    Error::not_good(format!("'{label}' is not good: {flaw}")).hint(flaw.hint())
}
