//! Clusters in other encodings than UTF-8, with names that are not ASCII: the whole way, and nothing of a name is lost.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use e2e::postgres::{RESTRICT_KEY, Version};
use e2e::{Cluster, Program, Scratch, Seen, backup, compare};
use serde_json::Value;

/// What things are called in a cluster of this encoding.
struct Names {
    encoding: &'static str,
    /// A database, its schema and its table; and a value.
    database: &'static [u8],
    role: &'static [u8],
    tablespace: &'static [u8],
    excluded: &'static [u8],
}

/// größe, müller, räume, weißes.
const LATIN1: Names = Names {
    encoding: "LATIN1",
    database: b"gr\xf6\xdfe",
    role: b"m\xfcller",
    tablespace: b"r\xe4ume",
    excluded: b"wei\xdfes",
};
/// 売上, 田中, 領域, 一時.
const EUC_JP: Names = Names {
    encoding: "EUC_JP",
    database: b"\xc7\xe4\xbe\xe5",
    role: b"\xc5\xc4\xc3\xe6",
    tablespace: b"\xce\xce\xb0\xe8",
    excluded: b"\xb0\xec\xbb\xfe",
};
/// Bytes that are nothing in particular: what stood between the fields of psql's answers among them.
const SQL_ASCII: Names = Names {
    encoding: "SQL_ASCII",
    database: b"gr\xf6\xff\xdfe",
    role: b"\xff",
    tablespace: b"r\xe4 \"ume\"",
    excluded: b"\xb0\xec'\xbb\xfe",
};

fn os(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

fn cluster(encoding: &str) -> Cluster {
    let option = format!("--encoding={encoding}");
    Cluster::with(Version::debian(), &[&option], "")
}

/// What psql prints, byte for byte.
fn ask(cluster: &Cluster, database: &[u8], sql: impl AsRef<[u8]>) -> Vec<u8> {
    let program = Program::other("psql").on(cluster);
    let psql = program.args(["-XqAt", "-v", "ON_ERROR_STOP=1"]);
    let psql = psql.env("PGCLIENTENCODING", "SQL_ASCII");
    let psql = psql.env("PGDATABASE", os(database)).stdin(sql.as_ref());
    psql.succeeds().stdout
}

/// SQL in which each `{}`, which stands in quotes, is the next of these.
fn filled(template: &str, texts: &[&[u8]]) -> Vec<u8> {
    let mut texts = texts.iter();
    let mut sql: Vec<u8> = Vec::new();
    for (at, part) in template.split("{}").enumerate() {
        if at > 0 {
            let quote = *sql.last().expect("a quote");
            let doubled = |byte: &u8| 1 + usize::from(*byte == quote);
            let text = texts.next().expect("a text").iter();
            sql.extend(text.flat_map(|byte| std::iter::repeat_n(*byte, doubled(byte))));
        }
        sql.extend_from_slice(part.as_bytes());
    }
    sql
}

/// What the cluster has of databases, roles and tablespaces, in hexadecimal digits.
fn everything(cluster: &Cluster) -> String {
    let sql = "select 'database', encode(namesend(datname), 'hex') from pg_database
     union all select 'role', encode(namesend(rolname), 'hex') from pg_roles where rolname !~ '^pg_'
     union all select 'tablespace', encode(namesend(spcname), 'hex') from pg_tablespace order by 1, 2";
    String::from_utf8(ask(cluster, b"postgres", sql)).unwrap()
}

impl Names {
    /// Makes the tablespace, in a place of this cluster's own.
    fn make_tablespace(&self, cluster: &Cluster) {
        let place = cluster.server_dir("tablespace");
        let place = place.as_os_str().as_bytes();
        let sql = "create tablespace \"{}\" location '{}'";
        ask(cluster, b"postgres", filled(sql, &[self.tablespace, place]));
    }

    fn cluster(&self) -> Cluster {
        let made = cluster(self.encoding);
        self.make_tablespace(&made);
        let Self { database, role, .. } = self;
        let (tablespace, excluded) = (self.tablespace, self.excluded);
        let reader = filled("create role \"{}\"", &[excluded]);
        ask(&made, b"postgres", reader);
        let cluster = "create role \"{}\"; create database \"{}\" owner \"{}\" tablespace \"{}\";
             comment on database \"{}\" is '{}'; grant connect on database \"{}\" to \"{}\";
             alter role \"{}\" set app.x = '{}'; alter database \"{}\" set app.y = '{}';";
        #[rustfmt::skip]
        let sql = filled(cluster, &[
            role, database, role, tablespace, database, database, database, excluded, role, database, database, role,
        ]);
        ask(&made, b"postgres", sql);
        let sql = filled("create database \"{}\"", &[excluded]);
        ask(&made, b"postgres", sql);
        ask(&made, b"postgres", "create database shop");
        let inside = "create schema \"{}\" authorization \"{}\"; set search_path = \"{}\"; set default_tablespace = \"{}\";
             create table \"{}\" (\"{}\" text primary key); insert into \"{}\" values ('{}'), ('a');
             alter table \"{}\" owner to \"{}\"; grant select on \"{}\" to \"{}\";";
        #[rustfmt::skip]
        let sql = filled(inside, &[
            database, role, database, tablespace, database, role, database, database, database, role, database, excluded,
        ]);
        ask(&made, database, sql);
        ask(
            &made,
            b"shop",
            "create table t as select generate_series(1, 9) i",
        );
        made
    }

    /// What a database has: values, owners, tablespaces, what is said of it.
    fn contents(&self, cluster: &Cluster, name: &[u8]) -> String {
        let sql = filled(
            "select \"{}\" from \"{}\".\"{}\" order by 1; select current_setting('app.y');
             select pg_get_userbyid(relowner), spcname, relacl from pg_class
              left join pg_tablespace s on s.oid = reltablespace where relkind = 'r' and relname = '{}';
             select pg_get_userbyid(datdba), spcname, shobj_description(d.oid, 'pg_database'), datacl
              from pg_database d join pg_tablespace s on s.oid = dattablespace where datname = current_database();",
            &[self.role, self.database, self.database, self.database],
        );
        let said = ask(cluster, name, sql);
        // One byte, one character: it can be compared and shown.
        said.into_iter().map(char::from).collect()
    }

    /// As it is shown.
    fn shown(&self) -> String {
        let shown = |byte: &u8| match byte.is_ascii() {
            true => char::from(*byte).to_string(),
            false => format!("\\x{byte:02x}"),
        };
        self.database.iter().map(shown).collect()
    }
}

fn restore(backup: &Path, cluster: &Cluster) -> Program {
    let program = Program::new("restore-stream");
    program.arg(backup).arg("--json").on(cluster)
}

fn option(name: &str, value: &[u8]) -> OsString {
    os(&[name.as_bytes(), value].concat()).to_owned()
}

/// A backup by pg_dumpall and gzip.
fn foreign(cluster: &Cluster, dir: &Scratch) -> PathBuf {
    let path = dir.join("foreign.sql.gz");
    Program::sh("pg_dumpall | gzip")
        .on(cluster)
        .stdout_file(&path)
        .succeeds();
    path
}

/// A restore test on a server of its own.
fn test(backup: &Path, dir: &Scratch) -> Seen {
    Program::new("backup-verify")
        .arg(backup)
        .args(["--restore-test", "--max-used=100%"])
        .env("TMPDIR", dir.make("servers"))
        .succeeds()
}

fn whole_way(names: &Names) {
    let first = names.cluster();
    let dir = Scratch::new();
    let own = backup::dump(&first, dir.make("own"));
    let text = backup::gunzip(&own);
    let (sql, index) = backup::divide(&text);
    compare::same_text(
        ("pg_dumpall", &first.dump_all::<&str>(&[])),
        ("pgdump-gz", sql),
    );
    let hex: String = names
        .database
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert!(
        index.contains(&format!("\"name_hex\":\"{hex}\"")),
        "{index}"
    );
    // In several processes, with the database to connect to named in bytes; and by pg_dumpall itself.
    let seen = backup::pgdump_gz(&first)
        .args(["--jobs", "3"])
        .arg(option("--dbname=", names.database))
        .arg("--dir")
        .arg(dir.make("jobs"))
        .succeeds();
    let jobs = backup::gunzip(seen.out());
    assert!(backup::divide(&jobs).0 == sql, "{seen}");
    let seen = Program::new("pgdump-gz")
        .on(&first)
        .arg("--dir")
        .arg(dir.make("command"))
        .args(["--", "pg_dumpall", "--restrict-key", RESTRICT_KEY])
        .succeeds();
    let command = PathBuf::from(seen.out());
    assert!(backup::divide(&backup::gunzip(&command)).0 == sql, "{seen}");
    let foreign = foreign(&first, &dir);
    // What is left out may have any name, and the pattern any bytes.
    let seen = backup::pgdump_gz(&first)
        .arg("--exclude-database")
        .arg(option("", &filled("\"{}\"", &[names.excluded])))
        .arg("--dir")
        .arg(dir.make("excluded"))
        .succeeds();
    seen.hides("matches no database");
    let less = backup::gunzip(seen.out());
    let heading = filled("-- Database \"{}\" dump", &[names.excluded]);
    let excluded = |text: &[u8]| text.windows(heading.len()).any(|it| it == heading);
    assert!(excluded(sql) && !excluded(&less), "{seen}");

    for path in [&own, &command, &foreign] {
        let seen = test(path, &dir);
        let shown = format!("'{}'", names.shown());
        assert!(seen.out().contains(&shown), "wanted {shown}\n{seen}");
        if path != &foreign {
            assert!(!seen.out().contains("not compared"), "{seen}");
            assert!(seen.out().contains("tables: 1 with 2 rows"), "{seen}");
        }
        let second = cluster(names.encoding);
        names.make_tablespace(&second);
        let seen = restore(path, &second).succeeds();
        assert_eq!(everything(&first), everything(&second), "{seen}");
        let contents = names.contents(&first, names.database);
        assert_eq!(contents, names.contents(&second, names.database), "{seen}");
        one_database(names, path, &second);
    }
    let again = restore(&own, &first).arg("--list").succeeds();
    let list: Value = serde_json::from_slice(&again.stdout).unwrap();
    let databases = list["databases"].as_array().unwrap();
    assert!(databases.iter().any(|it| it["name_hex"] == *hex), "{again}");
    let seen = Program::new("backup-verify")
        .arg(&own)
        .args([
            "--restore-test",
            "--max-used=100%",
            "--into",
            "user=postgres",
        ])
        .on(&first)
        .env("PGDATABASE", os(names.database))
        .succeeds();
    assert!(seen.out().contains(&names.shown()), "{seen}");
}

/// One of them, by its bytes and by how it is shown, on a server that has it.
fn one_database(names: &Names, backup: &Path, cluster: &Cluster) {
    let before = everything(cluster);
    let contents = names.contents(cluster, names.database);
    let seen = restore(backup, cluster)
        .arg(option("--database=", names.database))
        .fails(4);
    seen.says(&names.shown());
    for given in [option("", names.database), names.shown().into()] {
        let seen = restore(backup, cluster)
            .arg("--database")
            .arg(given)
            .args(["--replace", "--yes", "--drop-old"])
            .env("PGDATABASE", os(names.excluded))
            .succeeds();
        assert_eq!(before, everything(cluster), "{seen}");
        assert_eq!(contents, names.contents(cluster, names.database), "{seen}");
    }
    let seen = restore(backup, cluster)
        .arg(option("--database=", names.database))
        .args(["--as", "copy", "--no-owners"])
        .succeeds();
    let sql = filled(
        "select count(*) from \"{}\".\"{}\"",
        &[names.database, names.database],
    );
    assert_eq!(ask(cluster, b"copy", sql), b"2\n", "{seen}");
}

#[test]
fn a_cluster_in_latin1() {
    whole_way(&LATIN1);
}

#[test]
fn a_cluster_in_euc_jp() {
    whole_way(&EUC_JP);
}

#[test]
fn a_cluster_in_no_encoding() {
    whole_way(&SQL_ASCII);
}

/// On a server of another encoding names are the same letters, where that has them: owners in the databases too.
#[test]
fn into_another_encoding() {
    for (names, text) in [(&LATIN1, ["größe", "müller"]), (&EUC_JP, ["売上", "田中"])] {
        let first = names.cluster();
        let dir = Scratch::new();
        let own = backup::dump(&first, dir.make("own"));
        for path in [own, foreign(&first, &dir)] {
            let second = cluster("UTF8");
            let unicode = Names {
                tablespace: match names.encoding {
                    "LATIN1" => "räume".as_bytes(),
                    _ => "領域".as_bytes(),
                },
                ..*names
            };
            unicode.make_tablespace(&second);
            let seen = restore(&path, &second).succeeds();
            let there = second.databases();
            assert!(there.iter().any(|it| it == text[0]), "{there:?}\n{seen}");
            let owner = "select pg_get_userbyid(relowner) from pg_class where relkind = 'r' and relowner <> 10";
            let owner = ask(&second, text[0].as_bytes(), owner);
            assert_eq!(owner, format!("{}\n", text[1]).as_bytes(), "{seen}");
            // What is there is known by its letters.
            let seen = restore(&path, &second).args(["--globals-only"]).succeeds();
            assert!(
                seen.err().contains("it is there, and is left as it is"),
                "{seen}"
            );
        }
    }
}

/// What no name can be on a server is refused before anything is loaded.
#[test]
fn a_name_that_cannot_be_on_a_server() {
    let first = SQL_ASCII.cluster();
    let dir = Scratch::new();
    let own = backup::dump(&first, dir.make("own"));
    for path in [own, foreign(&first, &dir)] {
        let second = cluster("UTF8");
        let before = everything(&second);
        let seen = restore(&path, &second)
            .arg(option("--database=", SQL_ASCII.database))
            .fails(4);
        seen.says("is no name in the encoding of this server")
            .says("--as NAME");
        assert_eq!(before, everything(&second), "{seen}");
        let seen = restore(&path, &second).args(["--globals-only"]).fails(1);
        seen.says("initdb --encoding");
        let seen = restore(&path, &second)
            .args([
                "--database",
                &SQL_ASCII.shown(),
                "--as",
                "copy",
                "--no-owners",
            ])
            .run();
        // Its tablespace cannot be there either.
        assert_ne!(seen.code(), Some(101), "{seen}");
        restore(&path, &second)
            .args(["--database", "shop"])
            .succeeds();
    }
}

/// A database of another encoding than its cluster's names: these are in UTF-8 wherever they stand.
#[test]
fn databases_of_other_encodings_in_one_cluster() {
    let first = Cluster::start();
    first.sql("postgres", "create role \"müller\"");
    for (name, encoding) in [
        ("größe", "LATIN1"),
        ("売上", "EUC_JP"),
        ("bytes ä", "SQL_ASCII"),
    ] {
        first.sql(
            "postgres",
            &format!("create database \"{name}\" owner \"müller\" template template0 encoding '{encoding}' lc_collate 'C' lc_ctype 'C'"),
        );
        first.sql(
            "postgres",
            &format!("comment on database \"{name}\" is 'für {name}'"),
        );
        first.sql(
            "postgres",
            &format!("alter database \"{name}\" set app.x = 'ß'"),
        );
        let sql = "create table t (a text); insert into t values ('a')";
        ask(&first, name.as_bytes(), sql);
        let owner = "alter table t owner to \"müller\"";
        if encoding != "EUC_JP" {
            ask(&first, name.as_bytes(), owner);
        }
    }
    let latin = b"create table \"L\xe4nge\" as select 'm\xfcde'::text a; comment on database \"gr\xc3\xb6\xc3\x9fe\" is 'f\xfcr'";
    ask(&first, "größe".as_bytes(), latin);
    let said = "select datname, pg_get_userbyid(datdba), shobj_description(d.oid, 'pg_database'), setconfig
     from pg_database d left join pg_db_role_setting on setdatabase = d.oid and setrole = 0
     where datname <> 'größe' order by 1";
    let owners = "select relname, pg_get_userbyid(relowner) from pg_class where relkind = 'r' and oid > 16383 order by 1";
    let dir = Scratch::new();
    let own = backup::dump(&first, dir.make("own"));
    let seen = test(&own, &dir);
    assert!(
        seen.out().contains("'größe'  tables: 2 with 2 rows"),
        "{seen}"
    );
    let second = Cluster::start();
    let seen = restore(&own, &second).succeeds();
    assert_eq!(first.databases(), second.databases(), "{seen}");
    assert_eq!(
        first.sql("postgres", said),
        second.sql("postgres", said),
        "{seen}"
    );
    for name in ["größe", "売上", "bytes ä"] {
        let all = |cluster| ask(cluster, name.as_bytes(), owners);
        assert_eq!(all(&first), all(&second), "{name}\n{seen}");
    }
}

/// A name that was given in a database of another encoding than the others are in.
#[test]
fn a_name_that_is_no_text_where_it_is_listed() {
    let first = Cluster::start();
    first.sql(
        "postgres",
        "create database latin template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'",
    );
    ask(
        &first,
        b"latin",
        &b"create role \"m\xfcller\"; create database \"gr\xf6\xdfe\""[..],
    );
    let dir = Scratch::new();
    let seen = backup::pgdump_gz(&first)
        .arg("--dir")
        .arg(dir.make("own"))
        .succeeds();
    seen.says("warning: the names 'm\\xfcller' are no UTF8");
    let own = PathBuf::from(seen.out());
    let sql = backup::gunzip(&own);
    for name in [
        &b"CREATE ROLE \"m\xfcller\";"[..],
        b"CREATE DATABASE \"gr\xf6\xdfe\" WITH",
    ] {
        assert!(sql.windows(name.len()).any(|it| it == name), "{seen}");
    }
    let second = cluster("LATIN1");
    let seen = restore(&own, &second).succeeds();
    let (one, other) = (everything(&first), everything(&second));
    assert_eq!(one, other, "{seen}");
}

/// Whatever encoding a database, a role, the environment or the server has for whoever connects.
#[test]
fn client_encodings_change_nothing() {
    let first = Cluster::start();
    first.sql(
        "postgres",
        "create role \"müller\"; create database \"größe\" owner \"müller\";",
    );
    // No other encoding has all of it.
    first.sql(
        "größe",
        "create table \"Länge\" (a text); insert into \"Länge\" values ('ä €'), ('売')",
    );
    let settings: [(&str, &str); 4] = [
        (
            "alter database \"größe\" set client_encoding = 'LATIN1'",
            "alter database \"größe\" reset client_encoding",
        ),
        (
            "alter role postgres set client_encoding = 'LATIN1'",
            "alter role postgres reset client_encoding",
        ),
        (
            "alter database postgres set client_encoding = 'EUC_JP'",
            "alter database postgres reset client_encoding",
        ),
        ("select 1", "select 1"),
    ];
    for (set, reset) in settings {
        first.sql("postgres", set);
        let dir = Scratch::new();
        let mut dump = backup::pgdump_gz(&first).arg("--dir").arg(dir.make("own"));
        if set == reset {
            dump = dump
                .env("PGCLIENTENCODING", "LATIN1")
                .args(["-d", "client_encoding=EUC_JP dbname=postgres"]);
        }
        let own = PathBuf::from(dump.succeeds().out());
        test(&own, &dir);
        let second = Cluster::start();
        let mut restored = restore(&own, &second);
        if set == reset {
            restored = restored.env("PGCLIENTENCODING", "EUC_JP");
        }
        let seen = restored.succeeds();
        first.sql("postgres", reset);
        assert_eq!(everything(&first), everything(&second), "{set}\n{seen}");
        let lengths = "set client_encoding = 'UTF8'; table \"Länge\"";
        assert_eq!(second.sql("größe", lengths), "ä €\n売", "{set}\n{seen}");
    }
}

/// pg_dumpall has the database's name in one encoding, and pg_dump in that which the database has for its clients.
#[test]
fn a_dump_of_two_encodings() {
    let first = Cluster::start();
    first.sql(
        "postgres",
        "create role \"müller\"; create database \"größe\" owner \"müller\"",
    );
    first.sql(
        "größe",
        "create table \"Länge\" (a text); insert into \"Länge\" values ('ä')",
    );
    first.sql(
        "postgres",
        "alter database \"größe\" set client_encoding = 'LATIN1'",
    );
    let dir = Scratch::new();
    let path = foreign(&first, &dir);
    let second = Cluster::start();
    let seen = restore(&path, &second).succeeds();
    assert_eq!(everything(&first), everything(&second), "{seen}");
    let lengths = "set client_encoding = 'UTF8'; table \"Länge\"";
    assert_eq!(second.sql("größe", lengths), "ä", "{seen}");
}
