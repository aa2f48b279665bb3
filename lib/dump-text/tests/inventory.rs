//! What a dump holds, counted.
#![expect(clippy::unwrap_used, reason = "test code, all of it")]

use std::convert::Infallible;

use dump_text::{Inventory, Scanner, TableKind};
use pg_text::PgText;

fn inventory_in_pieces(dump: &[u8], size: usize) -> Inventory {
    let mut inventory = Inventory::default();
    let mut scanner = Scanner::new();
    let mut sink = |piece: dump_text::Piece<'_>| {
        inventory.see(piece);
        Ok::<(), Infallible>(())
    };
    for piece in dump.chunks(size) {
        scanner.feed(piece, &mut sink).unwrap();
    }
    scanner.finish(&mut sink).unwrap().unwrap();
    inventory
}

fn inventory(dump: &str) -> Inventory {
    inventory_in_pieces(dump.as_bytes(), dump.len())
}

/// The tables that are created, with their rows: those with rows first.
fn tables(inventory: &Inventory) -> Vec<(&str, Option<u64>)> {
    let copies = inventory.copies().unwrap();
    let created = copies.filter(|it| it.kind != TableKind::NotCreated);
    let copied = created.map(|it| (it.table, it.rows));
    let all = copied.chain(inventory.others());
    let text = |(name, rows): (_, _)| (PgText::utf8(name).unwrap(), rows);
    all.map(text).collect()
}

const DUMP: &str = r#"
SET standard_conforming_strings = on;
CREATE EXTENSION IF NOT EXISTS "uuid-ossp" WITH SCHEMA public;
CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public;
COMMENT ON EXTENSION hstore IS 'CREATE EXTENSION x;';
CREATE FUNCTION public.f() RETURNS void LANGUAGE sql AS $$ CREATE TABLE no (a int); INSERT INTO public.a VALUES (1); $$;
CREATE TABLE public.a (
    id integer DEFAULT 1,
    "partition by" text DEFAULT 'x) PARTITION BY (y'
);
CREATE UNLOGGED TABLE public."B; ""b"" (c)" (id integer);
CREATE TABLE "a b".part (id integer)
PARTITION BY LIST (id);
CREATE TABLE "a b".part1 (id integer);
CREATE TABLE public.empty (
);
CREATE VIEW public.v AS SELECT 1;
CREATE MATERIALIZED VIEW public.m AS SELECT 1 WITH NO DATA;
CREATE FOREIGN TABLE public.far (a integer) SERVER s;
CREATE SEQUENCE public.s;
SELECT pg_catalog.setval('public.s', 1, false);
SELECT pg_catalog.lo_create('4711');
SELECT pg_catalog.lo_open('4711', 131072);
ALTER TABLE ONLY "a b".part ATTACH PARTITION "a b".part1 FOR VALUES IN (1);
COPY public.a (id, "partition by") FROM stdin;
1	x
2	\N
\\.	3
\.
COPY public."B; ""b"" (c)" (id) FROM stdin;
\.
COPY "a b".part1 (id) FROM stdin;
1
\.
COPY public.of_an_extension (id) FROM stdin;
1
2
\.
COPY public.empty  FROM stdin;


\.
ALTER TABLE ONLY public.a ADD CONSTRAINT "a pkey" PRIMARY KEY (id);
ALTER TABLE ONLY public.a
    ADD CONSTRAINT u UNIQUE NULLS NOT DISTINCT (id);
ALTER TABLE public.a ADD CONSTRAINT c CHECK ((id > 0)) NOT VALID;
ALTER TABLE ONLY public.a ADD CONSTRAINT e EXCLUDE USING gist (id WITH =);
ALTER TABLE "a b".part ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES public.a(id);
ALTER TABLE public.a ADD COLUMN primary_key text;
ALTER TABLE public.a OWNER TO postgres;
ALTER DOMAIN public.d ADD CONSTRAINT x CHECK (true);
CREATE INDEX i ON public.a USING btree (id);
CREATE UNIQUE INDEX j ON ONLY "a b".part USING btree (id);
ALTER INDEX j ATTACH PARTITION k;
COMMENT ON INDEX i IS 'CREATE INDEX';
"#;

#[test]
fn everything_that_counts() {
    for size in [1, 7, 100, DUMP.len()] {
        let seen = inventory_in_pieces(DUMP.as_bytes(), size);
        assert_eq!(
            tables(&seen),
            [
                ("public.a", Some(3)),
                ("public.\"B; \"\"b\"\" (c)\"", Some(0)),
                ("\"a b\".part1", Some(1)),
                ("public.empty", Some(2)),
                ("\"a b\".part", Some(0)),
            ]
        );
        assert_eq!((seen.table_count(), seen.rows()), (5, Some(6)));
        assert_eq!((seen.indexes, seen.constraints), (2, 4));
        assert_eq!(seen.extensions, ["uuid-ossp", "hstore"]);
        assert_eq!(seen.large_objects, 1);
    }
}

#[test]
fn rows_as_inserts_are_not_counted() {
    let seen = inventory(
        "CREATE TABLE a (x int);\nCREATE TABLE b (x int);\n\
         INSERT INTO a VALUES (1);\nINSERT INTO a VALUES (2);\nCOPY b (x) FROM stdin;\n1\n\\.\n",
    );
    assert_eq!(tables(&seen), [("b", Some(1)), ("a", None)]);
    assert_eq!(seen.rows(), None);
}

#[test]
fn rows_by_way_of_the_root_are_counted_together() {
    let seen = inventory(
        "CREATE TABLE p (x int)\nPARTITION BY HASH (x);\nCREATE TABLE p0 (x int);\nCREATE TABLE p1 (x int);\n\
         COPY p (x) FROM stdin;\n1\n\\.\nCOPY p (x) FROM stdin;\n2\n3\n\\.\n",
    );
    let kinds = seen.copies().unwrap().map(|it| it.kind);
    assert!(kinds.eq([TableKind::Partitioned; 2]));
    let rows = [("p", Some(1)), ("p", Some(2)), ("p0", None), ("p1", None)];
    assert_eq!(tables(&seen), rows);
    assert_eq!(seen.rows(), Some(3));
}

#[test]
fn a_name_that_is_no_utf_8_is_listed_by_its_bytes() {
    let dump = b"CREATE TABLE public.\"gr\xfcn\" (x int);\nCREATE TABLE b (x int);\n\
                 COPY public.\"gr\xfcn\" (x) FROM stdin;\n1\n\\.\n";
    let seen = inventory_in_pieces(dump, 9);
    let name = PgText::from(&b"public.\"gr\xfcn\""[..]);
    let copied = seen.copies().unwrap().map(|it| (it.table.clone(), it.rows));
    assert!(copied.eq([(name, Some(1))]));
    assert!(seen.others().eq([(&"b".into(), Some(0))]));
    assert_eq!((seen.table_count(), seen.rows()), (2, Some(1)));
}

#[test]
fn of_very_many_tables_there_are_only_numbers() {
    let create = |at| format!("CREATE TABLE public.table_{at:060} (x int);\n");
    let mut dump: String = (0..200_000).map(create).collect();
    dump += &format!(
        "COPY public.table_{:060} (x) FROM stdin;\n1\n2\n\\.\n",
        199_999
    );
    let seen = inventory(&dump);
    assert!(seen.copies().is_none());
    assert_eq!((seen.table_count(), seen.rows()), (200_000, Some(2)));
}

/// As pg_dump 10 writes it.
const OLD: &str = r#"
SET client_encoding = 'UTF8';
SET search_path = public, pg_catalog;
CREATE TABLE orders (id integer);
CREATE TABLE "Odd.one" (id integer);
CREATE TABLE pg_class (id integer);
SET search_path = "Große Lager", pg_catalog;
CREATE TABLE orders (id integer);
CREATE TABLE public.named (id integer);
SET search_path = public, pg_catalog;
COPY orders (id) FROM stdin;
1
2
\.
COPY "Odd.one" (id) FROM stdin;
1
\.
COPY pg_class (id) FROM stdin;
\.
COPY named (id) FROM stdin;
1
2
3
4
\.
SET search_path = "Große Lager", pg_catalog;
COPY orders (id) FROM stdin;
1
2
3
\.
"#;

#[test]
fn names_without_a_schema_are_where_the_search_path_leads() {
    for size in [1, 7, OLD.len()] {
        let seen = inventory_in_pieces(OLD.as_bytes(), size);
        let wanted = [
            ("public.orders", Some(2)),
            ("public.\"Odd.one\"", Some(1)),
            ("public.pg_class", Some(0)),
            ("public.named", Some(4)),
            ("\"Große Lager\".orders", Some(3)),
        ];
        assert_eq!(tables(&seen), wanted);
    }
}

#[test]
fn a_search_path_that_is_not_known_names_no_schema() {
    let seen = inventory(
        "CREATE TABLE a (x int);\nSELECT pg_catalog.set_config('search_path', 'shop', false);\n\
         CREATE TABLE b (x int);\nINSERT INTO b VALUES (1);\n\\connect other\n\
         CREATE TABLE c (x int);\nSET search_path TO DEFAULT;\nCREATE TABLE d (x int);\n",
    );
    let wanted = [
        ("a", Some(0)),
        ("shop.b", None),
        ("c", Some(0)),
        ("d", Some(0)),
    ];
    assert_eq!(tables(&seen), wanted);
}

#[test]
fn the_first_schema_of_the_path_that_has_the_table_gets_its_rows() {
    let seen = inventory(
        "SET search_path = a, b;\nCREATE TABLE t (x int);\nCREATE TABLE b.t (x int);\nCREATE TABLE b.u (x int);\n\
         COPY u (x) FROM stdin;\n1\n\\.\nCOPY t (x) FROM stdin;\n1\n2\n\\.\n",
    );
    let wanted = [("b.u", Some(1)), ("a.t", Some(2)), ("b.t", Some(0))];
    assert_eq!(tables(&seen), wanted);
}

/// Where the data of a dump are, by the text that is there.
#[test]
fn places_of_data() {
    let before = "--\n-- Name: t; Type: TABLE\n--\n\nCREATE TABLE public.t (x int);\n\nCREATE TABLE public.u (x int);";
    let first =
        "\n\n\n--\n-- Data for Name: t\n--\n\nCOPY public.t (x) FROM stdin;\n1\n\\\\.\n\\.\n";
    let config = "\n\nCOPY ext.conf (x) FROM stdin;\n\\.\n";
    let session = "\n\nSET SESSION AUTHORIZATION 'x';";
    let third = "\nCOPY public.u (x) FROM stdin;\n2\n3\n4\n\\.\n";
    let sequence = "\n\nSELECT pg_catalog.setval('public.s', 1, false);";
    let objects = "\n\n--\n-- BLOBS\n--\n\nBEGIN;\n\nSELECT pg_catalog.lo_open('1', 131072);\n\
                   SELECT pg_catalog.lowrite(0, '\\x00');\nSELECT pg_catalog.lo_close(0);\n\nCOMMIT;\n\nBEGIN;\n\
                   SELECT pg_catalog.lo_open('2', 131072);\nSELECT pg_catalog.lo_close(0);\nCOMMIT;";
    let after = "\n\nCREATE INDEX i ON public.t (x);\nINSERT_is_no_word;\n";
    let parts = [
        before, first, config, session, third, sequence, objects, after,
    ];
    let dump = parts.concat();
    let place = |part: &str| {
        let start = dump.find(part).unwrap();
        start as u64..(start + part.len()) as u64
    };
    for size in [1, 5, dump.len()] {
        let seen = inventory_in_pieces(dump.as_bytes(), size);
        let copies: Vec<_> = seen.copies().unwrap().collect();
        for ((copy, part), (table, rows, kind)) in copies.iter().zip([first, config, third]).zip([
            ("public.t", 2, TableKind::Plain),
            ("ext.conf", 0, TableKind::NotCreated),
            ("public.u", 3, TableKind::Plain),
        ]) {
            assert_eq!(copy.sql, place(part));
            assert_eq!((copy.table, copy.rows), (&table.into(), Some(rows)));
            assert_eq!(copy.kind, kind);
            let text = |from: u64| &dump[usize::try_from(from).unwrap()..];
            assert!(text(copy.statement).starts_with("COPY "));
            assert!(text(copy.data - 8).starts_with(" stdin;\n"));
        }
        assert_eq!(copies.len(), 3);
        assert_eq!(seen.data(), Some(place(first).start..place(objects).end));
        assert_eq!(seen.large_objects(), Some(place(objects)));
    }
}

#[test]
fn what_no_dump_has_makes_places_unknown() {
    for odd in [
        "COPY t FROM stdin; SELECT 1;\n1\n\\.\n",
        "COPY t FROM stdin\\; COPY u FROM stdin;\n1\n\\.\n2\n\\.\n",
    ] {
        let seen = inventory(odd);
        assert!(seen.copies().is_none(), "{odd}");
    }
    let mixed =
        "BEGIN;\nSELECT lo_open(1, 2);\nCOMMIT;\nSELECT setval('s', 1);\nSELECT lo_close(0);\n";
    let seen = inventory(mixed);
    assert_eq!(seen.large_objects(), None);
    assert_eq!(seen.data(), Some(0..mixed.len() as u64 - 1));
    assert_eq!(inventory("CREATE TABLE t (x int);\n").data(), None);
}
