use super::*;

fn of(statement: &str) -> Ddl {
    ddl(statement.as_bytes())
}

fn name(text: &str) -> QualifiedName {
    QualifiedName::parse(text.as_bytes()).unwrap()
}

fn index(index: &str, table: &str, runs_user_code: bool) -> Index {
    Index {
        name: name(index),
        table: name(table),
        runs_user_code,
    }
}

fn table(text: &str, partitioned: bool, parents: &[&str], runs_user_code: bool) -> Ddl {
    Ddl::Table(Table {
        name: name(text),
        partitioned,
        parents: parents.iter().copied().map(name).collect(),
        runs_user_code,
    })
}

#[test]
fn names_are_those_of_the_server() {
    let odd = name(r#"Shop."a.b ""c"""#);
    assert_eq!(
        (odd.schema.ascii(), odd.name.ascii()),
        ("shop", r#"a.b "c""#)
    );
    for refused in ["t", "a.b.c", "a.b c", "a.", "", "a.'b'", "public.t; x"] {
        assert_eq!(QualifiedName::parse(refused.as_bytes()), None, "{refused}");
    }
}

#[test]
fn the_table_of_a_copy() {
    let of = |statement: &str| copied_table(statement.as_bytes());
    assert_eq!(of("COPY s.\"T\" (a) FROM stdin;"), Some(name("s.\"T\"")));
    assert_eq!(of("COPY t (a) FROM stdin;"), None);
    assert_eq!(of("COPY (SELECT 1) TO stdout;"), None);
}

#[test]
fn tables() {
    for (statement, wanted) in [
        (
            "CREATE TABLE public.t (\n    id integer NOT NULL,\n    n numeric(10,2) DEFAULT public.f()\n);",
            table("public.t", false, &[], false),
        ),
        (
            "CREATE UNLOGGED TABLE public.\"select\" (a integer)\nWITH (fillfactor='70');",
            table("public.\"select\"", false, &[], false),
        ),
        (
            "CREATE TABLE public.empty (\n);",
            table("public.empty", false, &[], false),
        ),
        (
            "CREATE TABLE a.p (id integer)\nPARTITION BY RANGE (id);",
            table("a.p", true, &[], false),
        ),
        (
            "CREATE TABLE a.p (id integer)\nPARTITION BY RANGE (public.f(id));",
            table("a.p", true, &[], true),
        ),
        (
            "CREATE TABLE a.c (x integer)\nINHERITS (a.p, b.\"Q\");",
            table("a.c", false, &["a.p", "b.\"Q\""], false),
        ),
        (
            "CREATE TABLE public.typed OF public.pair (\n    a WITH OPTIONS NOT NULL\n);",
            table("public.typed", false, &[], false),
        ),
        (
            "CREATE TABLE public.typed OF public.pair;",
            table("public.typed", false, &[], false),
        ),
        (
            "CREATE TABLE public.g (geom public.geometry(Point,4326), CONSTRAINT c CHECK ((a > 0)));",
            table("public.g", false, &[], false),
        ),
        (
            "CREATE TABLE public.g (a text, CONSTRAINT c CHECK (public.is_email(a)));",
            table("public.g", false, &[], true),
        ),
        (
            "CREATE TABLE public.g (a integer, b integer GENERATED ALWAYS AS (public.f(a)) STORED);",
            table("public.g", false, &[], true),
        ),
        (
            "CREATE TABLE public.g (a integer, CONSTRAINT c CHECK ((a OPERATOR(public.===) 1)));",
            table("public.g", false, &[], true),
        ),
        (
            "CREATE TABLE public.g (a integer GENERATED ALWAYS AS IDENTITY, b integer CHECK (pg_catalog.abs(a) > 0));",
            table("public.g", false, &[], false),
        ),
    ] {
        assert_eq!(of(statement), wanted, "{statement}");
    }
}

#[test]
fn what_may_bring_rows_or_anything_is_unknown() {
    for statement in [
        "CREATE TABLE public.t AS SELECT 1;",
        "CREATE TABLE public.t (a) AS VALUES (1);",
        "CREATE TABLE public.t (a integer) PARTITION BY LIST (a) AS SELECT 1;",
        "CREATE TABLE t (a integer);",
        "CREATE TABLE IF NOT EXISTS public.t (a integer);",
        "CREATE TEMP TABLE t (a integer);",
        "CREATE MATERIALIZED VIEW public.m AS SELECT 1;",
        "CREATE SCHEMA s CREATE TABLE t (a integer);",
        "INSERT INTO public.t VALUES (1);",
        "SELECT public.f();",
        "SELECT pg_catalog.setval(public.f(), 1, true);",
        "SELECT pg_catalog.setval('public.s', 1, true), public.f();",
        "SELECT pg_catalog.setval('public.s', 1, true) FROM public.t;",
        "SELECT setval('public.s', (SELECT 1));",
        "SELECT pg_catalog.set_config('search_path', '', true);",
        "SELECT pg_catalog.set_config('search_'||'path', '', false);",
        "SELECT pg_catalog.lo_unlink('1');",
        "DO $$ begin end $$;",
        "CALL p();",
        "SET SESSION AUTHORIZATION bob;",
        "SET LOCAL search_path = x;",
        "SET ROLE x;",
        "RESET ALL;",
        "CREATE INDEX ON public.t (a);",
        "CREATE INDEX CONCURRENTLY ON public.t (a);",
        "CREATE INDEX CONCURRENTLY i ON public.t (a);",
        "CREATE INDEX IF NOT EXISTS i ON public.t (a);",
        "CREATE INDEX i ON t (a);",
        "ALTER TABLE public.t REPLICA IDENTITY USING INDEX i, CLUSTER ON j;",
        "LOCK TABLE public.t;",
        "ALTER SYSTEM SET a = b;",
        "",
    ] {
        assert_eq!(of(statement), Ddl::Unknown, "{statement}");
    }
}

#[test]
fn indexes_and_their_constraints() {
    for (statement, wanted) in [
        (
            "CREATE INDEX i ON public.t USING btree (a);",
            Ddl::Index(index("public.i", "public.t", false)),
        ),
        (
            "CREATE UNIQUE INDEX \"I, \"\"x\"\"\" ON ONLY s.\"T\" USING btree (a, lower(b)) INCLUDE (c) WHERE (a > 0);",
            Ddl::Index(index("s.\"I, \"\"x\"\"\"", "s.\"T\"", false)),
        ),
        (
            "CREATE INDEX if ON public.t USING gin (t public.gin_trgm_ops, u COLLATE public.german DESC);",
            Ddl::Index(index("public.if", "public.t", false)),
        ),
        (
            "CREATE INDEX i ON public.t USING btree (public.f(a));",
            Ddl::Index(index("public.i", "public.t", true)),
        ),
        (
            "CREATE INDEX i ON public.t USING btree (((a || public.f(b))));",
            Ddl::Index(index("public.i", "public.t", true)),
        ),
        (
            "CREATE INDEX i ON public.t USING btree (a) WHERE (b = 'x'::public.mood);",
            Ddl::Index(index("public.i", "public.t", true)),
        ),
        (
            "ALTER TABLE ONLY public.t\n    ADD CONSTRAINT k PRIMARY KEY (a) DEFERRABLE;",
            Ddl::IndexedConstraint(index("public.k", "public.t", false)),
        ),
        (
            "ALTER TABLE ONLY public.t ADD CONSTRAINT k UNIQUE NULLS NOT DISTINCT (a, b);",
            Ddl::IndexedConstraint(index("public.k", "public.t", false)),
        ),
        (
            "ALTER TABLE ONLY public.t ADD CONSTRAINT k EXCLUDE USING gist (during WITH &&);",
            Ddl::IndexedConstraint(index("public.k", "public.t", false)),
        ),
        (
            "ALTER TABLE ONLY public.t ADD CONSTRAINT k EXCLUDE USING gist (a WITH OPERATOR(public.&&));",
            Ddl::IndexedConstraint(index("public.k", "public.t", true)),
        ),
        (
            "ALTER TABLE public.t ADD CONSTRAINT k FOREIGN KEY (a, b) REFERENCES s.u(a, b) ON DELETE SET NULL (a) NOT VALID;",
            Ddl::ForeignKey {
                name: name("public.k"),
                table: name("public.t"),
                references: name("s.u"),
            },
        ),
        (
            "ALTER INDEX s.p ATTACH PARTITION t.c;",
            Ddl::IndexPartition {
                parent: name("s.p"),
                partition: name("t.c"),
            },
        ),
    ] {
        assert_eq!(of(statement), wanted, "{statement}");
    }
}

#[test]
fn what_is_said_of_them() {
    for (statement, index, table) in [
        ("COMMENT ON INDEX s.i IS 'x';", "s.i", None),
        (
            "COMMENT ON CONSTRAINT k ON s.t IS NULL;",
            "s.k",
            Some("s.t"),
        ),
        ("ALTER TABLE s.t CLUSTER ON i;", "s.i", Some("s.t")),
        (
            "ALTER TABLE ONLY s.t REPLICA IDENTITY USING INDEX \"I\";",
            "s.\"I\"",
            Some("s.t"),
        ),
        (
            "ALTER INDEX s.i ALTER COLUMN 2 SET STATISTICS 400;",
            "s.i",
            None,
        ),
        ("ALTER INDEX s.i DEPENDS ON EXTENSION x;", "s.i", None),
    ] {
        let wanted = Ddl::Detail {
            of: name(index),
            table: table.map(name),
        };
        assert_eq!(of(statement), wanted, "{statement}");
    }
}

#[test]
fn several_actions_are_none() {
    for statement in [
        "ALTER TABLE ONLY public.t ADD CONSTRAINT k PRIMARY KEY (a), ADD CONSTRAINT l UNIQUE (b);",
        "ALTER TABLE ONLY public.t ADD CONSTRAINT k PRIMARY KEY USING INDEX i;",
        "ALTER TABLE public.t ADD CONSTRAINT k FOREIGN KEY (a) REFERENCES s.u(a), DISABLE TRIGGER ALL;",
        "ALTER TABLE public.t ADD CONSTRAINT k FOREIGN KEY (a) REFERENCES u(a);",
        "ALTER TABLE t ADD CONSTRAINT k PRIMARY KEY (a);",
        "COMMENT ON CONSTRAINT c ON DOMAIN public.d IS 'x';",
        "ALTER INDEX s.i SET TABLESPACE x;",
    ] {
        assert_eq!(of(statement), Ddl::Other, "{statement}");
    }
}

#[test]
fn settings_values_and_large_objects() {
    for (statement, setting) in [
        ("SET statement_timeout = 0;", "statement_timeout"),
        ("SET \"App\".Name TO 'x';", "app.name"),
        (
            "SELECT pg_catalog.set_config('search_path', '', false);",
            "search_path",
        ),
    ] {
        assert_eq!(of(statement), Ddl::Setting(setting.into()), "{statement}");
    }
    for statement in [
        "SELECT pg_catalog.setval('public.s', 1, true);",
        "SELECT pg_catalog.setval('public.\"a sequence\"', -5, false);",
    ] {
        assert_eq!(of(statement), Ddl::SequenceValue, "{statement}");
    }
    for statement in [
        "SELECT pg_catalog.lo_create('4711');",
        "SELECT pg_catalog.lo_open('4711', 131072);",
        "SELECT pg_catalog.lowrite(0, '\\x00');",
    ] {
        assert_eq!(of(statement), Ddl::LargeObject, "{statement}");
    }
}

#[test]
fn checks_partitions_and_domains() {
    let check = |runs_user_code| Ddl::Check {
        table: name("s.t"),
        runs_user_code,
    };
    assert_eq!(
        of("ALTER TABLE s.t ADD CONSTRAINT c CHECK ((a > 0)) NOT VALID;"),
        check(false)
    );
    assert_eq!(
        of("ALTER TABLE s.t ADD CONSTRAINT c CHECK (s.f(a));"),
        check(true)
    );
    assert_eq!(
        of("ALTER TABLE ONLY s.p ATTACH PARTITION s.c FOR VALUES FROM (1) TO (2);"),
        Ddl::Partition {
            parent: name("s.p"),
            partition: name("s.c")
        }
    );
    let domain = |runs_user_code| Ddl::Domain { runs_user_code };
    assert_eq!(
        of("CREATE DOMAIN s.d AS s.base DEFAULT s.f()\n\tCONSTRAINT c CHECK ((VALUE > 0));"),
        domain(false)
    );
    assert_eq!(
        of("CREATE DOMAIN s.d AS text CHECK (s.f(VALUE));"),
        domain(true)
    );
    assert_eq!(
        of("ALTER DOMAIN s.d ADD CONSTRAINT c CHECK (s.f(VALUE));"),
        domain(true)
    );
}

#[test]
fn other_definitions() {
    for statement in [
        "CREATE FUNCTION s.f() RETURNS void LANGUAGE sql AS 'INSERT INTO t VALUES (1)';",
        "CREATE OR REPLACE VIEW s.v AS SELECT 1;",
        "CREATE MATERIALIZED VIEW s.m AS SELECT 1\n  WITH NO DATA;",
        "CREATE TRIGGER x BEFORE INSERT ON s.t FOR EACH ROW EXECUTE FUNCTION s.f();",
        "CREATE CONSTRAINT TRIGGER x AFTER INSERT ON s.t EXECUTE FUNCTION s.f();",
        "CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public;",
        "CREATE SCHEMA s;",
        "ALTER TABLE ONLY s.t ALTER COLUMN id SET DEFAULT nextval('s.q'::regclass);",
        "ALTER TABLE s.t OWNER TO bob;",
        "ALTER DEFAULT PRIVILEGES FOR ROLE a GRANT SELECT ON TABLES TO b;",
        "COMMENT ON TABLE s.t IS 'x';",
        "GRANT SELECT ON TABLE s.t TO bob;",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC;",
        "REFRESH MATERIALIZED VIEW s.m;",
        "SECURITY LABEL FOR x ON TABLE s.t IS 'y';",
        "DROP TABLE public.t;",
    ] {
        assert_eq!(of(statement), Ddl::Other, "{statement}");
    }
}
