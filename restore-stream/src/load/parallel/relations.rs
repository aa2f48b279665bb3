//! What the dump has said of its tables and indexes so far, and what of it each later statement uses.
//!
//! What may run side by side is decided by the statements themselves ([`dump_text::ddl`]), by PostgreSQL's rules for locks,
//! and by one more: code of a user's (a function in a check, in a generated column, in an index) may read other tables, so
//! what runs such code keeps its place among the rows.

use std::collections::HashMap;

use dump_text::{Ddl, Index, QualifiedName};

use super::schedule::Use;

/// What two units must not use at once, unless both share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Resource {
    /// The rows of all tables.
    Rows,
    /// The tables of extensions. Their rows may depend on each other, and keep the dump's order.
    Extensions,
    /// Tables that are connected by inheritance or as partitions, by one of them; or a table that is connected to none.
    Tree(usize),
    /// One of several connected tables, with its indexes.
    Table(usize),
}

/// How the rows of a block get into their table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copying {
    /// The table was created by this restore, and nothing else puts rows into it: it is emptied and filled in one
    /// transaction, with rows that are frozen.
    Frozen,
    /// As the dump has it.
    AsDumped,
}

/// What the rows of one block use.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RowsUse {
    pub(super) copying: Copying,
    /// Whether they can be one unit with the blocks beside them.
    pub(super) alone: bool,
    pub(super) uses: Vec<(Resource, Use)>,
}

/// What a statement uses, if it can run beside others.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StatementUse {
    /// Bytes of SQL of the rows that it goes through.
    pub(super) weight: u64,
    pub(super) uses: Vec<(Resource, Use)>,
    /// The index or constraint that it creates. Details of that belong to the same unit.
    pub(super) creates: Option<Created>,
}

/// An index or a constraint that a statement creates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Created {
    name: QualifiedName,
    table: QualifiedName,
}

impl Created {
    /// Whether a detail is about it.
    pub(super) fn is_meant_by(&self, of: &QualifiedName, table: Option<&QualifiedName>) -> bool {
        self.name == *of && table.is_none_or(|it| self.table == *it)
    }
}

/// The tables and indexes of a dump.
#[derive(Debug, Default)]
pub(super) struct Relations {
    numbers: HashMap<QualifiedName, usize>,
    tables: Vec<Facts>,
    /// The table of each index.
    indexes: HashMap<QualifiedName, usize>,
    /// Whether a domain's check runs code of a user's. Columns of such a type may be anywhere.
    ordered: bool,
    /// Whether tables are created with another access method than `heap`.
    special: bool,
}

#[derive(Debug, Default)]
struct Facts {
    /// Another table of the same tree; itself, if it stands for the tree.
    tree: usize,
    created: bool,
    partitioned: bool,
    has_children: bool,
    /// Of a table that stands for its tree: whether that has others.
    has_others: bool,
    /// Of a table that stands for its tree: whether rows of any of its tables run code of a user's.
    runs_user_code: bool,
    special: bool,
    blocks: u32,
    /// Bytes of SQL of its rows.
    rows: u64,
}

impl Relations {
    /// Takes note of the blocks of rows that the dump has, by its map. Call it once.
    pub(super) fn expect<'a>(
        &mut self,
        blocks: impl Iterator<Item = (&'a Option<QualifiedName>, u64)>,
    ) {
        for (table, length) in blocks {
            if let Some(table) = table {
                let number = self.number(table);
                self.tables[number].blocks += 1;
                self.tables[number].rows += length;
            }
        }
    }

    /// Takes note of a statement. No unit may be waiting or running when it changes what belongs together.
    pub(super) fn see(&mut self, found: &Ddl, statement: &[u8]) {
        match found {
            Ddl::Table(table) => {
                let number = self.number(&table.name);
                let root = self.root(number);
                self.tables[root].runs_user_code |= table.runs_user_code;
                let facts = &mut self.tables[number];
                facts.created = true;
                facts.partitioned = table.partitioned;
                facts.has_children |= table.partitioned;
                facts.special = self.special;
                for parent in &table.parents {
                    self.connect(parent, &table.name);
                }
            }
            Ddl::Partition { parent, partition } => self.connect(parent, partition),
            Ddl::Check {
                table,
                runs_user_code,
            } => {
                let number = self.number(table);
                let root = self.root(number);
                self.tables[root].runs_user_code |= runs_user_code;
            }
            Ddl::Domain { runs_user_code } => self.ordered |= runs_user_code,
            Ddl::Index(index) | Ddl::IndexedConstraint(index) => {
                let number = self.number(&index.table);
                self.indexes.insert(index.name.clone(), number);
            }
            Ddl::Setting(name) if name == "default_table_access_method" => {
                self.special = statement != b"SET default_table_access_method = heap;";
            }
            _ => {}
        }
    }

    /// What the rows of a block use.
    pub(super) fn rows(&mut self, table: Option<&QualifiedName>) -> RowsUse {
        let as_dumped = |uses| RowsUse {
            copying: Copying::AsDumped,
            alone: true,
            uses,
        };
        let Some(table) = table else {
            return as_dumped(vec![(Resource::Rows, Use::Exclusive)]);
        };
        let number = self.number(table);
        let root = self.root(number);
        let facts = &self.tables[number];
        let (rows, whole) = (Resource::Rows, Resource::Tree(root));
        if self.ordered || self.tables[root].runs_user_code {
            return as_dumped(vec![(rows, Use::Exclusive), (whole, Use::Exclusive)]);
        }
        let mut uses = vec![(rows, Use::Shared)];
        if facts.partitioned {
            // Rows that go through the root of a tree get into any of its tables.
            uses.push((whole, Use::Exclusive));
            return as_dumped(uses);
        }
        let (created, blocks, special) = (facts.created, facts.blocks, facts.special);
        uses.extend(self.one(number, Use::Exclusive));
        if !created {
            uses.push((Resource::Extensions, Use::Exclusive));
            return as_dumped(uses);
        }
        if blocks != 1 || special {
            return as_dumped(uses);
        }
        RowsUse {
            copying: Copying::Frozen,
            alone: false,
            uses,
        }
    }

    /// What a statement uses. None if it has to wait for all that came before it, and all that follows for it.
    pub(super) fn statement(&mut self, found: &Ddl) -> Option<StatementUse> {
        match found {
            Ddl::Index(index) => Some(self.index(index, Use::Shared)),
            Ddl::IndexedConstraint(index) => Some(self.index(index, Use::Exclusive)),
            Ddl::ForeignKey {
                name,
                table,
                references,
            } => {
                let [from, to] = [table, references].map(|it| self.numbers.get(it).copied());
                let (from, to) = (from?, to?);
                if !self.tables[from].created || !self.tables[to].created {
                    return None;
                }
                let trees = [from, to].map(|it| self.root(it));
                Some(StatementUse {
                    weight: self.tables[from].rows,
                    // It locks both tables with their partitions, and checks the rows of one against an index of the
                    // other.
                    uses: trees
                        .map(|tree| (Resource::Tree(tree), Use::Exclusive))
                        .to_vec(),
                    creates: Some(Created {
                        name: name.clone(),
                        table: table.clone(),
                    }),
                })
            }
            Ddl::IndexPartition { parent, partition } => {
                let tables = [parent, partition].map(|it| self.indexes.get(it).copied());
                let [parent, partition] = tables;
                let trees = [parent?, partition?].map(|it| self.root(it));
                Some(StatementUse {
                    weight: 0,
                    uses: trees
                        .map(|tree| (Resource::Tree(tree), Use::Exclusive))
                        .to_vec(),
                    creates: None,
                })
            }
            _ => None,
        }
    }

    fn index(&mut self, index: &Index, how: Use) -> StatementUse {
        let number = self.number(&index.table);
        let mut uses = match self.tables[number].has_children {
            // PostgreSQL looks at the tables below, and locks them.
            true => vec![(Resource::Tree(self.root(number)), Use::Exclusive)],
            false => self.one(number, how),
        };
        if index.runs_user_code || self.ordered {
            uses.push((Resource::Rows, Use::Exclusive));
        }
        StatementUse {
            weight: self.tables[number].rows,
            uses,
            creates: Some(Created {
                name: index.name.clone(),
                table: index.table.clone(),
            }),
        }
    }

    /// Uses one table, and none of those that it is connected to.
    fn one(&mut self, number: usize, how: Use) -> Vec<(Resource, Use)> {
        let root = self.root(number);
        let tree = Resource::Tree(root);
        match self.tables[root].has_others {
            true => vec![(tree, Use::Shared), (Resource::Table(number), how)],
            false => vec![(tree, how)],
        }
    }

    fn number(&mut self, name: &QualifiedName) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.tables.len();
        self.tables.push(Facts {
            tree: number,
            ..Facts::default()
        });
        self.numbers.insert(name.clone(), number);
        number
    }

    /// The table that stands for the tree of a table.
    fn root(&mut self, number: usize) -> usize {
        let mut root = number;
        while self.tables[root].tree != root {
            root = self.tables[root].tree;
        }
        let mut at = number;
        while at != root {
            at = std::mem::replace(&mut self.tables[at].tree, root);
        }
        root
    }

    fn connect(&mut self, parent: &QualifiedName, child: &QualifiedName) {
        let (parent, child) = (self.number(parent), self.number(child));
        self.tables[parent].has_children = true;
        let (above, below) = (self.root(parent), self.root(child));
        if above != below {
            self.tables[below].tree = above;
            self.tables[above].has_others = true;
            self.tables[above].runs_user_code |= self.tables[below].runs_user_code;
        }
    }
}

#[cfg(test)]
mod tests;
