//! `backup-verify --restore-test` and the names of tables: those of dumps that have no schema in them, and those that somebody
//! put into an index.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use e2e::crafted::{indexed, part, taken};
use e2e::{Program, Scratch, backup, scratch};

/// A test on a server of its own, made in `scratch`.
fn own(scratch: &Scratch, backup: &Path) -> Program {
    backup::restore_test(backup).env("TMPDIR", scratch.make("servers"))
}

/// As pg_dump 10 writes it: names without a schema, one of them of a table that the catalog has too.
const OLD: &str = "\
CREATE SCHEMA \"Old Stock\";\n
SET search_path = public, pg_catalog;\n
CREATE TABLE orders (id integer);
CREATE TABLE pg_class (id integer);\n
SET search_path = \"Old Stock\", pg_catalog;\n
CREATE TABLE orders (id integer);\n
SET search_path = public, pg_catalog;\n
COPY orders (id) FROM stdin;\n1\n2\n\\.\n
COPY pg_class (id) FROM stdin;\n1\n2\n3\n\\.\n
SET search_path = \"Old Stock\", pg_catalog;\n
COPY orders (id) FROM stdin;\n7\n\\.\n";

#[test]
fn a_dump_of_an_old_version_is_compared_table_by_table() {
    let scratch = Scratch::new();
    let backup = taken(&scratch, &part("shop", OLD));
    let seen = own(&scratch, &backup).succeeds();
    seen.prints("ok restore 'shop' tables: 3 with 6 rows, ");
}

#[test]
fn names_without_a_schema_are_looked_up_in_all() {
    let scratch = Scratch::new();
    let one = "CREATE TABLE public.orders (id integer);\nINSERT INTO public.orders VALUES (1);\n\
               CREATE TABLE public.pg_class (id integer);\n";
    let backup = indexed(&scratch, one, &[("orders", 1), ("pg_class", 0)]);
    let seen = own(&scratch, &backup).succeeds();
    seen.prints("'shop' tables: 2 with 1 rows");
    assert!(!seen.out().contains("not compared"), "{seen}");
    // A loss is found.
    let backup = indexed(&scratch, one, &[("orders", 2), ("pg_type", 0)]);
    let seen = own(&scratch, &backup).fails(3);
    seen.prints("tables are missing: pg_type; rows: orders has 1 rows, and 2 were dumped");
    // Where it cannot be known which it is, nothing is said against the backup.
    let two = format!("{one}CREATE SCHEMA s;\nCREATE TABLE s.orders (id integer);\n");
    let backup = indexed(
        &scratch,
        &two,
        &[("orders", 1), ("orders", 0), ("public.pg_class", 0)],
    );
    let seen = own(&scratch, &backup).succeeds();
    seen.prints("warning restore 'shop' tables: 3");
    seen.prints("does not say the schema and several have such a table: orders, orders");
}

#[test]
fn nothing_of_an_index_becomes_sql() {
    let scratch = Scratch::new();
    let out = scratch.make("out");
    // Whoever psql runs as.
    let all = Permissions::from_mode(0o777);
    fs::set_permissions(&out, all).unwrap();
    // The server takes any character for a part of a name that has no quotes.
    let name = r"t;\!id";
    let sql = format!(
        "CREATE TABLE public.t (a integer);\nCREATE TABLE public.\"{name}\" (a integer);\n"
    );
    let names = [
        format!("public.{name}"),
        format!("public.\"a\0'), (0, 'x\n\\! touch {}/ran\n", out.display()),
    ];
    for name in &names {
        let backup = indexed(&scratch, &sql, &[(name, 0)]);
        let seen = own(&scratch, &backup).run();
        assert_eq!(scratch::names(&out), [""; 0], "{seen}");
        assert_eq!(seen.code(), Some(3), "{seen}");
        seen.prints("tables are missing: ");
    }
    // By its right name it is found.
    let right = format!("public.\"{name}\"");
    own(&scratch, &indexed(&scratch, &sql, &[(&right, 0)])).succeeds();
}
