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
    /// Tables that are connected by inheritance or as partitions, by one of them.
    Tree(usize),
    /// One table with its indexes.
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
        uses.push((whole, Use::Shared));
        uses.push((Resource::Table(number), Use::Exclusive));
        if !facts.created {
            uses.push((Resource::Extensions, Use::Exclusive));
            return as_dumped(uses);
        }
        if facts.blocks != 1 || facts.special {
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
        let tree = Resource::Tree(self.root(number));
        let facts = &self.tables[number];
        let mut uses = match facts.has_children {
            // PostgreSQL looks at the tables below, and locks them.
            true => vec![(tree, Use::Exclusive)],
            false => vec![(tree, Use::Shared), (Resource::Table(number), how)],
        };
        if index.runs_user_code || self.ordered {
            uses.push((Resource::Rows, Use::Exclusive));
        }
        StatementUse {
            weight: facts.rows,
            uses,
            creates: Some(Created {
                name: index.name.clone(),
                table: index.table.clone(),
            }),
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
            self.tables[above].runs_user_code |= self.tables[below].runs_user_code;
        }
    }
}

#[cfg(test)]
mod tests {
    use dump_text::ddl;

    use super::*;

    const DUMP: [&str; 12] = [
        "SET default_table_access_method = heap;",
        "CREATE TABLE public.a (id integer);",
        "CREATE TABLE public.b (id integer, CONSTRAINT c CHECK (public.f(id)));",
        "CREATE TABLE public.p (id integer) PARTITION BY LIST (id);",
        "CREATE TABLE public.p1 (id integer);",
        "CREATE TABLE public.p2 (id integer);",
        "CREATE TABLE public.base (id integer);",
        "CREATE TABLE public.derived (x integer) INHERITS (public.base);",
        "ALTER TABLE ONLY public.p ATTACH PARTITION public.p1 FOR VALUES IN (1);",
        "ALTER TABLE ONLY public.p ATTACH PARTITION public.p2 FOR VALUES IN (2);",
        "SET default_table_access_method = columns;",
        "CREATE TABLE public.other (id integer);",
    ];

    fn name(text: &str) -> QualifiedName {
        QualifiedName::parse(text.as_bytes()).unwrap()
    }

    fn relations(blocks: &[&str]) -> Relations {
        let mut relations = Relations::default();
        let names: Vec<_> = blocks.iter().map(|it| Some(name(it))).collect();
        relations.expect(names.iter().map(|it| (it, 100)));
        for statement in DUMP {
            relations.see(&ddl(statement.as_bytes()), statement.as_bytes());
        }
        relations
    }

    impl Relations {
        fn of(&mut self, statement: &str) -> Option<StatementUse> {
            let found = ddl(statement.as_bytes());
            self.see(&found, statement.as_bytes());
            self.statement(&found)
        }

        fn rows_of(&mut self, table: &str) -> RowsUse {
            self.rows(Some(&name(table)))
        }
    }

    /// Whether two units cannot run at once.
    fn conflict(a: &[(Resource, Use)], b: &[(Resource, Use)]) -> bool {
        let mut pairs = a.iter().flat_map(|a| b.iter().map(move |b| (a, b)));
        pairs.any(|(a, b)| a.0 == b.0 && (a.1 == Use::Exclusive || b.1 == Use::Exclusive))
    }

    #[test]
    fn rows_of_new_tables_are_frozen_and_all_others_are_not() {
        let mut relations = relations(&[
            "public.a",
            "public.b",
            "public.p1",
            "public.derived",
            "public.other",
            "public.config",
            "public.twice",
            "public.twice",
        ]);
        let twice = "CREATE TABLE public.twice (a integer);";
        relations.see(&ddl(twice.as_bytes()), twice.as_bytes());
        for frozen in ["public.a", "public.p1", "public.derived"] {
            let rows = relations.rows_of(frozen);
            assert_eq!(
                (rows.copying, rows.alone),
                (Copying::Frozen, false),
                "{frozen}"
            );
        }
        for as_it_is in [
            "public.b",
            "public.p",
            "public.other",
            "public.config",
            "public.twice",
        ] {
            let rows = relations.rows_of(as_it_is);
            assert_eq!(
                (rows.copying, rows.alone),
                (Copying::AsDumped, true),
                "{as_it_is}"
            );
        }
    }

    #[test]
    fn rows_that_run_a_user_s_code_keep_their_place() {
        let mut relations = relations(&["public.a", "public.b", "public.p1", "public.p2"]);
        let [a, b, p1, p2] =
            ["public.a", "public.b", "public.p1", "public.p2"].map(|it| relations.rows_of(it));
        assert!(conflict(&a.uses, &b.uses) && conflict(&b.uses, &p1.uses));
        assert!(!conflict(&a.uses, &p1.uses) && !conflict(&p1.uses, &p2.uses));
        let root = relations.rows_of("public.p");
        assert!(conflict(&root.uses, &p1.uses) && !conflict(&root.uses, &a.uses));
        let unnamed = relations.rows(None);
        assert!(conflict(&unnamed.uses, &a.uses));
        let [one, two] = ["ext.one", "ext.two"].map(|it| relations.rows_of(it));
        assert!(conflict(&one.uses, &two.uses) && !conflict(&one.uses, &a.uses));
        let domain = "CREATE DOMAIN public.d AS text CHECK (public.f(VALUE));";
        relations.see(&ddl(domain.as_bytes()), domain.as_bytes());
        let [p1, p2] = ["public.p1", "public.p2"].map(|it| relations.rows_of(it));
        assert!(conflict(&p1.uses, &p2.uses));
    }

    #[test]
    fn a_check_of_any_table_counts_for_its_whole_tree() {
        let mut relations = relations(&["public.derived"]);
        let check = "ALTER TABLE public.base ADD CONSTRAINT c CHECK (public.f(id));";
        relations.see(&ddl(check.as_bytes()), check.as_bytes());
        assert_eq!(
            relations.rows_of("public.derived").copying,
            Copying::AsDumped
        );
    }

    #[test]
    fn indexes_wait_for_the_rows_of_their_table() {
        let mut relations = relations(&["public.a", "public.p1", "public.p2"]);
        let [a, p1] = ["public.a", "public.p1"].map(|it| relations.rows_of(it).uses);
        let one = relations
            .of("CREATE INDEX i ON public.a USING btree (id);")
            .unwrap();
        let two = relations
            .of("CREATE INDEX j ON public.a USING btree (id);")
            .unwrap();
        let key = relations
            .of("ALTER TABLE ONLY public.a ADD CONSTRAINT k PRIMARY KEY (id);")
            .unwrap();
        assert_eq!(one.weight, 100);
        assert!(conflict(&a, &one.uses) && !conflict(&p1, &one.uses));
        assert!(!conflict(&one.uses, &two.uses) && conflict(&one.uses, &key.uses));
        let part = relations
            .of("CREATE INDEX x ON public.p1 USING btree (id);")
            .unwrap();
        let whole = relations
            .of("CREATE INDEX y ON ONLY public.p USING btree (id);")
            .unwrap();
        assert!(conflict(&part.uses, &whole.uses) && !conflict(&part.uses, &one.uses));
        let expression = relations
            .of("CREATE INDEX z ON public.a USING btree (public.f(id));")
            .unwrap();
        assert!(conflict(&p1, &expression.uses));
        let attach = relations
            .of("ALTER INDEX public.y ATTACH PARTITION public.x;")
            .unwrap();
        assert!(conflict(&attach.uses, &part.uses) && conflict(&attach.uses, &whole.uses));
        assert!(!conflict(&attach.uses, &one.uses));
        assert_eq!(
            relations.of("ALTER INDEX public.y ATTACH PARTITION public.unknown;"),
            None
        );
        assert!(
            relations
                .of("CREATE UNIQUE INDEX m ON public.view USING btree (id);")
                .is_some()
        );
    }

    #[test]
    fn foreign_keys_run_at_once_only_between_different_trees() {
        let mut relations = relations(&["public.a"]);
        let mut key = |from: &str, to: &str| {
            let statement = format!(
                "ALTER TABLE {from} ADD CONSTRAINT k FOREIGN KEY (id) REFERENCES {to}(id);"
            );
            relations.of(&statement)
        };
        let [one, two, three] = [
            key("public.a", "public.p").unwrap(),
            key("public.b", "public.p1").unwrap(),
            key("public.b", "public.other").unwrap(),
        ];
        assert!(conflict(&one.uses, &two.uses) && conflict(&two.uses, &three.uses));
        assert!(!conflict(&one.uses, &three.uses));
        assert_eq!(key("public.a", "ext.one"), None);
        let part = relations
            .of("CREATE INDEX x ON public.p2 USING btree (id);")
            .unwrap();
        assert!(conflict(&part.uses, &one.uses));
        assert_eq!(
            relations.of("CREATE TRIGGER x AFTER INSERT ON public.a EXECUTE FUNCTION public.f();"),
            None
        );
    }

    #[test]
    fn details_belong_to_what_was_created() {
        let mut relations = relations(&[]);
        let index = relations
            .of("CREATE INDEX i ON public.a USING btree (id);")
            .unwrap();
        let created = index.creates.unwrap();
        assert!(created.is_meant_by(&name("public.i"), None));
        assert!(created.is_meant_by(&name("public.i"), Some(&name("public.a"))));
        assert!(!created.is_meant_by(&name("public.i"), Some(&name("public.b"))));
        assert!(!created.is_meant_by(&name("public.j"), None));
    }
}
