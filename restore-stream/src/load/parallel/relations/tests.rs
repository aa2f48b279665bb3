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
        let statement =
            format!("ALTER TABLE {from} ADD CONSTRAINT k FOREIGN KEY (id) REFERENCES {to}(id);");
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
