//! What the statements of a database's dump define, and on which table: so much of it as decides which of them may run side
//! by side.

mod cursor;
mod expression;
mod index;
mod setting;
mod table;

use pg_text::PgText;

use cursor::Cursor;

/// The name of a table or an index with its schema, both without quotes, as the server reads them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QualifiedName {
    /// The schema.
    pub schema: PgText,
    /// The name within it.
    pub name: PgText,
}

impl QualifiedName {
    /// Reads `schema.name` as SQL writes it. None if it is anything else, such as a name without a schema.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut words = Cursor::of(text);
        let name = words.qualified()?;
        words.is_at_end().then_some(name)
    }

    /// Another name in the same schema.
    fn sibling(&self, name: PgText) -> Self {
        Self {
            schema: self.schema.clone(),
            name,
        }
    }
}

/// A table that a dump creates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: QualifiedName,
    /// Whether its rows are in its partitions.
    pub partitioned: bool,
    /// The tables that it inherits from, or is a partition of.
    pub parents: Vec<QualifiedName>,
    /// Whether its rows are checked, completed or distributed by code of a user's, which may read other tables.
    pub runs_user_code: bool,
}

/// An index, or a constraint with its index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Its name. It is in the schema of its table.
    pub name: QualifiedName,
    /// The table.
    pub table: QualifiedName,
    /// Whether building it may run code of a user's, which may read other tables.
    pub runs_user_code: bool,
}

/// What a statement of a database's dump does.
///
/// A statement is taken for something only if all of it has that form, in pg_dump's own words: fully qualified names, one
/// action, nothing behind it. It is read token by token as the server reads it, and pg_dump's comments are not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ddl {
    /// `CREATE TABLE …`
    Table(Table),
    /// `ALTER TABLE … ATTACH PARTITION …`
    Partition {
        /// The partitioned table.
        parent: QualifiedName,
        /// What is from now on a part of it.
        partition: QualifiedName,
    },
    /// `ALTER TABLE … ADD CONSTRAINT … CHECK …`
    Check {
        /// The table.
        table: QualifiedName,
        /// Whether the check may run code of a user's.
        runs_user_code: bool,
    },
    /// `CREATE DOMAIN …`, `ALTER DOMAIN …`
    Domain {
        /// Whether its checks may run code of a user's.
        runs_user_code: bool,
    },
    /// `CREATE INDEX …`
    Index(Index),
    /// `ALTER TABLE … ADD CONSTRAINT …` with `PRIMARY KEY`, `UNIQUE` or `EXCLUDE`.
    IndexedConstraint(Index),
    /// `ALTER TABLE … ADD CONSTRAINT … FOREIGN KEY …`
    ForeignKey {
        /// The constraint, in the schema of its table.
        name: QualifiedName,
        /// The table.
        table: QualifiedName,
        /// The table that it refers to.
        references: QualifiedName,
    },
    /// `ALTER INDEX … ATTACH PARTITION …`
    IndexPartition {
        /// The index of the partitioned table.
        parent: QualifiedName,
        /// The index that is from now on a part of it.
        partition: QualifiedName,
    },
    /// What pg_dump says of an index or a constraint right after it.
    Detail {
        /// The index or the constraint.
        of: QualifiedName,
        /// The table, where the statement names it.
        table: Option<QualifiedName>,
    },
    /// `SET name = value`, `SELECT set_config('name', 'value', false)`: the setting's name in lower case.
    Setting(String),
    /// `SELECT setval('sequence', …)`
    SequenceValue,
    /// A call that creates or writes a large object, with values that are all in the statement.
    LargeObject,
    /// Another definition. It changes neither rows nor the session, and stays in the dump's order.
    Other,
    /// It may do anything.
    Unknown,
}

/// The table of a `COPY table … FROM stdin`, if the statement names it with its schema.
pub fn copied_table(statement: &[u8]) -> Option<QualifiedName> {
    let mut words = Cursor::of(statement);
    words.takes("copy").then(|| words.qualified()).flatten()
}

/// The table of an `INSERT INTO table …`, if the statement names it with its schema.
pub fn inserted_table(statement: &[u8]) -> Option<QualifiedName> {
    let mut words = Cursor::of(statement);
    let insert = words.takes("insert") && words.takes("into");
    insert.then(|| words.qualified()).flatten()
}

/// What a statement of a database's dump does. The statement must be whole.
pub fn ddl(statement: &[u8]) -> Ddl {
    let mut words = Cursor::of(statement);
    let found = match words.word().as_ref().map(PgText::ascii) {
        Some("create") => table::created(words.clone()).or_else(|| index::created(words.clone())),
        Some("alter") => table::altered(words.clone()).or_else(|| index::altered(words.clone())),
        Some("comment") => index::described(words.clone()),
        Some("set") => setting::set(words.clone()),
        Some("select") => setting::called(words.clone()),
        Some("grant" | "revoke" | "security" | "drop") => Some(Ddl::Other),
        _ => None,
    };
    found.unwrap_or_else(|| other(statement))
}

/// The kinds of objects of which a definition changes neither rows nor the session.
const OBJECTS: [&str; 36] = [
    "access",
    "aggregate",
    "cast",
    "collation",
    "conversion",
    "database",
    "default",
    "event",
    "extension",
    "foreign",
    "function",
    "index",
    "language",
    "large",
    "operator",
    "policy",
    "procedural",
    "procedure",
    "publication",
    "role",
    "routine",
    "rule",
    "schema",
    "sequence",
    "server",
    "statistics",
    "subscription",
    "table",
    "text",
    "transform",
    "trigger",
    "trusted",
    "type",
    "user",
    "view",
    "materialized",
];

/// `CREATE FUNCTION …`, `ALTER SEQUENCE …`, `COMMENT ON …`, `REFRESH MATERIALIZED VIEW …`.
fn other(statement: &[u8]) -> Ddl {
    let mut words = Cursor::of(statement);
    let verb = words.word().unwrap_or_default();
    match verb.ascii() {
        "comment" if words.takes("on") => return Ddl::Other,
        "refresh" if words.takes("materialized") && words.takes("view") => return Ddl::Other,
        "create" if words.takes("or") && !words.takes("replace") => return Ddl::Unknown,
        "create" | "alter" => {}
        _ => return Ddl::Unknown,
    }
    let creates = verb == "create";
    for keyword in ["unlogged", "unique", "recursive", "constraint"] {
        words.takes(keyword);
    }
    let kind = words.word().unwrap_or_default();
    // Rows may come with it: CREATE TABLE … AS, CREATE SCHEMA … CREATE TABLE ….
    let unsure = match kind.ascii() {
        "table" => creates || words.has("replica") || words.has("cluster"),
        "materialized" => creates && !words.ends_in_no_data(),
        "schema" => creates && words.has("create"),
        // Another index than those that are known may stand for anything.
        "index" => creates,
        kind => !OBJECTS.contains(&kind),
    };
    match unsure {
        true => Ddl::Unknown,
        false => Ddl::Other,
    }
}

#[cfg(test)]
mod tests;
