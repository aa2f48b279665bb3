//! Whether the maps of a backup are true: what they say of its SQL is what passes by.

use std::collections::VecDeque;

use backup_file::{CopyBlock, Map, ReadAt, ReadError, Section, read_map};
use dump_text::{Token, tokens};
use job::Error;
use memchr::memchr_iter;
use store::Source;

/// How much of a COPY statement is looked at for its table's name.
const MOST_STATEMENT: u64 = 64 << 10;
/// The line that ends the rows of a COPY.
const END: &[u8] = b"\\.\n";

/// Compares maps with the SQL that passes by. It holds one map at a time.
pub(crate) struct MapAudit<'a> {
    source: &'a Source,
    file: &'a dyn ReadAt,
    /// The sections that have not begun.
    sections: VecDeque<Section>,
    /// Bytes of SQL that have passed.
    passed: u64,
    current: Option<Passing>,
}

/// The section that passes.
struct Passing {
    section: Section,
    map: Map,
    /// The checkpoints that are still to come.
    checkpoints: VecDeque<(u64, u64)>,
    /// How many blocks have passed.
    blocks: usize,
    found: Found,
}

/// What has come of a COPY block.
#[derive(Default)]
struct Found {
    statement: Vec<u8>,
    /// Whether a line ends where the rows begin.
    begins: bool,
    rows: u64,
    /// The last bytes of its data.
    last: Vec<u8>,
}

impl<'a> MapAudit<'a> {
    /// For a backup that can be read anywhere and has these sections.
    pub(crate) fn new(source: &'a Source, file: &'a dyn ReadAt, sections: Vec<Section>) -> Self {
        Self {
            source,
            file,
            sections: sections.into(),
            passed: 0,
            current: None,
        }
    }

    /// The next SQL, which these members hold: where each begins in the file, and how many bytes it has.
    ///
    /// # Errors
    /// A map cannot be read, or is not true (exit code 3).
    pub(crate) fn see(
        &mut self,
        mut sql: &[u8],
        members: impl Iterator<Item = (u64, u64)>,
    ) -> Result<(), Error> {
        for (file, length) in members {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let (member, rest) = sql.split_at(length.min(sql.len()));
            let seen = self.member(member, file);
            seen.map_err(|error| self.source.read_error(&error))?;
            sql = rest;
        }
        Ok(())
    }

    /// All SQL has passed.
    ///
    /// # Errors
    /// The last map is not true.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        let last = self.enter();
        Ok(last.map_err(|error| self.source.read_error(&error))?)
    }

    fn member(&mut self, sql: &[u8], file: u64) -> Result<(), ReadError> {
        self.enter()?;
        if let Some(passing) = &mut self.current {
            let at = self.passed - passing.section.sql_offset;
            passing.checkpoint(at, file)?;
            passing.see(at, sql)?;
        }
        self.passed += sql.len() as u64;
        Ok(())
    }

    /// Goes on to the section that begins here; all do with a member.
    fn enter(&mut self) -> Result<(), ReadError> {
        if let Some(passing) = &self.current
            && self.passed >= passing.section.sql_offset + passing.section.sql_length
        {
            passing.end()?;
            self.current = None;
        }
        while let Some(next) = self.sections.front()
            && next.sql_offset <= self.passed
        {
            let map = read_map(self.file, next)?;
            let section = self.sections.pop_front();
            self.current = section.zip(map).map(|(it, map)| Passing::new(it, map));
        }
        Ok(())
    }
}

impl Passing {
    fn new(section: Section, map: Map) -> Self {
        Self {
            checkpoints: map.checkpoints().collect(),
            section,
            map,
            blocks: 0,
            found: Found::default(),
        }
    }

    /// A member begins, at this place of the section's SQL and of the file.
    fn checkpoint(&mut self, sql: u64, file: u64) -> Result<(), ReadError> {
        match self.checkpoints.front() {
            Some(wanted) if *wanted == (sql, file) => {
                self.checkpoints.pop_front();
                Ok(())
            }
            Some((wanted, _)) if sql >= *wanted => Err(self.wrong(&not_there(*wanted))),
            _ => Ok(()),
        }
    }

    /// The section has passed.
    fn end(&self) -> Result<(), ReadError> {
        match self.checkpoints.front() {
            Some((wanted, _)) => Err(self.wrong(&not_there(*wanted))),
            None => Ok(()),
        }
    }

    /// SQL passes, from this place of the section on.
    fn see(&mut self, at: u64, sql: &[u8]) -> Result<(), ReadError> {
        let end = at + sql.len() as u64;
        while let Some(block) = self.map.layout.copies.get(self.blocks)
            && block.statement < end
        {
            self.found.see(block, at, sql);
            if block.sql.end > end {
                break;
            }
            let found = std::mem::take(&mut self.found);
            if let Err(what) = found.check(block) {
                return Err(self.wrong(&format!("{what} of {:?}", block.table)));
            }
            self.blocks += 1;
        }
        Ok(())
    }

    fn wrong(&self, what: &str) -> ReadError {
        ReadError::Damaged(format!(
            "the map of {} is not true: {what}",
            self.section.kind
        ))
    }
}

impl Found {
    /// Looks at what of a block is in SQL that begins at this place.
    fn see(&mut self, block: &CopyBlock, at: u64, sql: &[u8]) {
        let part = |from: u64, to: u64| {
            let place = |it: u64| usize::try_from(it.saturating_sub(at)).unwrap_or(usize::MAX);
            let to = place(to).min(sql.len());
            &sql[place(from).min(to)..to]
        };
        let some = block.data.min(block.statement + MOST_STATEMENT);
        self.statement
            .extend_from_slice(part(block.statement, some));
        self.begins |= part(block.data - 1, block.data) == b"\n";
        let data = part(block.data, block.sql.end);
        self.rows += memchr_iter(b'\n', data).count() as u64;
        let wanted = END.len() + 1;
        self.last
            .extend_from_slice(&data[data.len().saturating_sub(wanted)..]);
        self.last.drain(..self.last.len().saturating_sub(wanted));
    }

    /// What is not as the map says.
    fn check(self, block: &CopyBlock) -> Result<(), &'static str> {
        let (name, schema) = copied(&self.statement).ok_or("there is no COPY statement")?;
        let table = block.table.as_bytes();
        // pg_dump 10 and older leave the schema out.
        let within = |name| {
            table
                .strip_suffix(name)
                .is_some_and(|it| it.ends_with(b"."))
        };
        let meant = table == name || !schema && within(name);
        if !meant {
            return Err("another table's COPY is in the place");
        }
        if !self.begins {
            return Err("the rows do not begin in the place");
        }
        let whole = self.last == END || self.last.strip_prefix(b"\n") == Some(END);
        if !whole {
            return Err("the rows do not end in the place");
        }
        match block.rows {
            Some(rows) if rows != self.rows.saturating_sub(1) => Err("there are not as many rows"),
            _ => Ok(()),
        }
    }
}

fn not_there(sql: u64) -> String {
    format!("byte {sql} of its SQL is not where it says")
}

/// The table of `COPY table (…) FROM stdin;`, as it is written there, and whether that is with its schema.
fn copied(statement: &[u8]) -> Option<(&[u8], bool)> {
    let mut words = tokens(statement);
    let copy = words.next()?;
    if copy.at.start != 0 || !copy.token.is("copy") {
        return None;
    }
    let mut words = words.peekable();
    let first = words.next()?.at;
    let mut end = first.end;
    while words
        .next_if(|it| it.token == Token::Symbol(b'.'))
        .is_some()
    {
        end = words.next()?.at.end;
    }
    Some((statement.get(first.start..end)?, end > first.end))
}

#[cfg(test)]
mod tests {
    use backup_file::CopyTarget;

    use super::*;

    const SQL: &[u8] =
        b"--\n-- t\n--\nCOPY public.\"T\" (a) FROM stdin;\n1\n2\n\\.\nCOPY u FROM stdin;\n\\.\n";

    fn block(table: &str, rows: u64, [start, statement, data, end]: [u64; 4]) -> CopyBlock {
        CopyBlock {
            table: table.into(),
            target: CopyTarget::Table,
            rows: Some(rows),
            sql: start..end,
            statement,
            data,
        }
    }

    fn blocks() -> [CopyBlock; 2] {
        [
            block("public.\"T\"", 2, [0, 11, 43, 50]),
            block("shop.u", 0, [50, 50, 69, 72]),
        ]
    }

    fn check(block: &CopyBlock, size: usize) -> Result<(), &'static str> {
        let mut found = Found::default();
        for (at, piece) in SQL.chunks(size).enumerate() {
            found.see(block, (at * size) as u64, piece);
        }
        found.check(block)
    }

    #[test]
    fn what_is_there_is_found_in_pieces_of_any_size() {
        for size in [1, 2, 7, SQL.len()] {
            for block in blocks() {
                assert_eq!(check(&block, size), Ok(()), "{size} {block:?}");
            }
        }
    }

    #[test]
    fn what_is_not_there_is_said() {
        type Change = fn(&mut CopyBlock);
        let changes: [(Change, &str); 9] = [
            (|it| it.table = "public.t".into(), "another table's"),
            (|it| it.table = "x.public.\"T\"".into(), "another table's"),
            (|it| it.rows = Some(3), "not as many rows"),
            (|it| it.statement = 10, "no COPY"),
            (|it| it.statement = 12, "no COPY"),
            (|it| it.data = 45, "not as many rows"),
            (|it| it.data = 44, "do not begin"),
            (|it| it.sql.end = 49, "do not end"),
            (|it| it.sql.end = 51, "do not end"),
        ];
        for (change, said) in changes {
            let [mut block, _] = blocks();
            change(&mut block);
            let what = check(&block, 5).unwrap_err();
            assert!(what.contains(said), "{what}");
        }
    }
}
