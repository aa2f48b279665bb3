//! Dumps of pg_dumpall 10 and older: what they say of databases stands among the roles. Nothing of it is lost, and every
//! statement is accounted for.

use std::path::PathBuf;

use e2e::{Cluster, Program, Scratch, Seen, crafted};
use serde_json::Value;

/// As pg_dumpall 10 wrote it; the names and comments are in LATIN1 in one of the tests.
const OLD: &str = r#"--
-- PostgreSQL database cluster dump
--

SET default_transaction_read_only = off;

SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;

CREATE ROLE bob;
ALTER ROLE bob WITH NOSUPERUSER LOGIN;

CREATE DATABASE empty WITH TEMPLATE = template0 OWNER = bob;
CREATE DATABASE shop WITH TEMPLATE = template0 OWNER = bob ENCODING = 'LATIN1' LC_COLLATE = 'C' LC_CTYPE = 'C' CONNECTION LIMIT = 5;
ALTER DATABASE shop SET work_mem TO '7MB';
ALTER DATABASE shop SET "app.größe" TO 'groß';
REVOKE ALL ON DATABASE shop FROM PUBLIC;
GRANT CONNECT ON DATABASE shop TO bob;
ALTER DATABASE postgres SET work_mem TO '9MB';
REVOKE ALL ON DATABASE postgres FROM PUBLIC;
GRANT CONNECT ON DATABASE postgres TO bob;
REVOKE ALL ON DATABASE template1 FROM PUBLIC;
ALTER ROLE bob IN DATABASE postgres SET search_path TO 'x';
ALTER DATABASE gone SET work_mem TO '1MB';

\connect postgres

--
-- PostgreSQL database dump
--

CREATE TABLE p (a integer);

--
-- PostgreSQL database dump complete
--

\connect shop

--
-- PostgreSQL database dump
--

SET client_encoding = 'LATIN1';
CREATE TABLE t (a integer);
ALTER TABLE t OWNER TO bob;

--
-- PostgreSQL database dump complete
--

\connect template1

--
-- PostgreSQL database dump
--

CREATE TABLE q (a integer);

--
-- PostgreSQL database dump complete
--

--
-- PostgreSQL database cluster dump complete
--

"#;

const DATABASES: &str = "select string_agg(concat_ws(' ', datname, datdba::regrole, datacl, pg_encoding_to_char(encoding), datconnlimit), E'\n' order by datname)
 from pg_database where datname <> 'template0'";
const SETTINGS: &str = "select string_agg(concat_ws(' ', datname, setrole::regrole, setconfig), E'\n' order by datname, setrole)
 from pg_db_role_setting join pg_database d on d.oid = setdatabase";

/// The books of a restore, which must balance.
#[track_caller]
fn statements(seen: &Seen) -> Value {
    let said: Value = serde_json::from_str(&seen.out()).unwrap();
    let books = said["statements"].clone();
    let count = |name: &str| books[name].as_u64().unwrap();
    let gone = count("sent") + count("left_out") + count("not_asked_for");
    assert!(count("read") > 0 && count("read") == gone, "{seen}");
    said
}

fn restore(backup: &PathBuf, cluster: &Cluster) -> Program {
    Program::new("restore-stream")
        .arg(backup)
        .arg("--json")
        .on(cluster)
}

#[test]
fn what_is_said_among_the_roles_reaches_its_database() {
    // psql, which carries everything out where it stands, makes what is wanted.
    let wanted = Cluster::start();
    wanted.sql("postgres", "create database gone");
    Program::other("psql")
        .args(["-qd", "postgres"])
        .stdin(OLD)
        .on(&wanted)
        .succeeds();
    wanted.sql("postgres", "drop database gone");
    let see = |cluster: &Cluster| {
        (
            cluster.sql("template1", DATABASES),
            cluster.sql("template1", SETTINGS),
        )
    };
    let dir = Scratch::new();
    for path in crafted::both_of(&dir, OLD.as_bytes()) {
        let cluster = Cluster::start();
        let seen = restore(&path, &cluster).succeeds();
        assert_eq!(see(&cluster), see(&wanted), "{seen}");
        let said = statements(&seen);
        let skipped = said["skipped"].as_array().unwrap();
        let gone: Vec<&Value> = skipped
            .iter()
            .filter(|it| it["what"].as_str().unwrap().contains("'gone'"))
            .collect();
        assert_eq!(gone.len(), 1, "{seen}");
        for (database, table) in [("postgres", "p"), ("shop", "t"), ("template1", "q")] {
            cluster.sql(database, &format!("table {table}"));
        }
    }
}

/// Also where roles are not restored, or one database is, under another name.
#[test]
fn one_database_is_as_it_was_said_to_be() {
    let dir = Scratch::new();
    for path in crafted::both_of(&dir, OLD.as_bytes()) {
        let cluster = Cluster::start();
        cluster.sql("postgres", "create role bob");
        let seen = restore(&path, &cluster)
            .args(["--database", "shop", "--as", "copy"])
            .succeeds();
        let of = "select datdba::regrole, pg_encoding_to_char(encoding), datconnlimit, datacl is not null from pg_database where datname = 'copy'";
        assert_eq!(cluster.sql("postgres", of), "bob|LATIN1|5|t", "{seen}");
        assert_eq!(statements(&seen)["statements"]["left_out"], 0, "{seen}");
        let seen = restore(&path, &cluster)
            .args(["--no-globals", "--exclude-database", "postgres"])
            .succeeds();
        let names = cluster.databases();
        assert_eq!(names, ["copy", "empty", "postgres", "shop"], "{seen}");
        statements(&seen);
    }
}

/// Bytes are read as they were written: in the encoding that the dump had set.
#[test]
fn definitions_keep_their_encoding() {
    let latin: Vec<u8> = OLD
        .replace("client_encoding = 'UTF8'", "client_encoding = 'LATIN1'")
        .chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect();
    let dir = Scratch::new();
    for path in crafted::both_of(&dir, &latin) {
        let cluster = Cluster::start();
        let seen = restore(&path, &cluster).succeeds();
        let settings = cluster.sql("postgres", SETTINGS);
        assert!(settings.contains("app.größe=groß"), "{settings}\n{seen}");
    }
}

/// What names a role is left out where roles are not wanted, in every statement.
#[test]
fn without_owners_no_role_is_needed() {
    let dir = Scratch::new();
    for path in crafted::both_of(&dir, OLD.as_bytes()) {
        let cluster = Cluster::start();
        let seen = restore(&path, &cluster)
            .args(["--no-globals", "--no-owners"])
            .succeeds();
        let owners = "select string_agg(distinct datdba::regrole::text, ',') from pg_database";
        assert_eq!(cluster.sql("postgres", owners), "postgres", "{seen}");
        assert!(
            statements(&seen)["statements"]["left_out"].as_u64() > Some(2),
            "{seen}"
        );
    }
}

/// Statements that drop what is there are left out, and that is said.
#[test]
fn what_is_left_out_is_said() {
    let first = Cluster::start();
    first.sql("postgres", "create role bob");
    first.sql("postgres", "create database shop");
    let dir = Scratch::new();
    let clean = first.dump_all(&["--clean", "--if-exists"]);
    for path in crafted::both_of(&dir, &clean) {
        let cluster = Cluster::start();
        let seen = restore(&path, &cluster).succeeds();
        seen.says("left out: DROP DATABASE 'shop'")
            .says("left out: DROP of role 'bob'");
        statements(&seen);
    }
}
