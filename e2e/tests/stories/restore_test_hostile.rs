//! `backup-verify --restore-test` on backups that do something: what they run owns nothing, what they set changes nothing
//! of what is compared.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use e2e::crafted::{NAME, indexed, part, taken};
use e2e::{Cluster, Program, Scratch, Version, backup, scratch, tool, wait_for};

/// A test on a server of its own, made in `scratch`.
fn own(scratch: &Scratch, backup: &Path) -> Program {
    backup::restore_test(backup).env("TMPDIR", scratch.make("servers"))
}

fn into(cluster: &Cluster, backup: &Path, user: &str) -> Program {
    backup::restore_test(backup)
        .arg("--into")
        .arg(format!("dbname=postgres user={user}"))
        .on(cluster)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A directory that anybody may write to.
fn open_to_all(scratch: &Scratch, name: &str) -> PathBuf {
    let path = scratch.make(name);
    fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
    path
}

/// What a backup ran, as it saw itself: lines `NAME=value`.
struct Ran(String);

impl Ran {
    fn get(&self, name: &str) -> &str {
        let value = self
            .0
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        assert!(value.is_some(), "no {name} in\n{}", self.0);
        value.unwrap_or_default()
    }
}

/// Runs a test of a backup whose server runs this script of `sh`.
fn run_by_a_backup(scratch: &Scratch, script: &str, test: impl Fn(&Path) -> Program) -> Ran {
    let out = open_to_all(scratch, "out");
    let script = scratch.write("script", script);
    let sql = format!(
        "CREATE TABLE public.t (a text);\nCOPY public.t FROM PROGRAM 'sh {} >{}/ran 2>&1';\n",
        script.display(),
        out.display()
    );
    let backup = taken(scratch, &part("evil", &sql));
    fs::set_permissions(&backup, Permissions::from_mode(0o600)).unwrap();
    test(&backup).succeeds();
    Ran(fs::read_to_string(out.join("ran")).unwrap())
}

#[test]
fn what_a_backup_runs_owns_nothing_and_knows_nothing() {
    // The account of other servers on this machine, by which they know who may come in.
    let other = Cluster::start();
    let hba = other.sql("postgres", "show hba_file");
    fs::write(hba, "local all all peer\n").unwrap();
    other.sql("postgres", "select pg_reload_conf()");
    let scratch = Scratch::new();
    let token = scratch.write("token", "sig=s3cret");
    fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
    let psql = other.version().bin().join("psql");
    let script = format!(
        "echo user=$(id -u)\necho groups=$(id -G)\n\
         echo known=$(getent passwd $(id -u); getent group $(id -g))\n\
         echo privileges=$(grep NoNewPrivs /proc/self/status)\n\
         echo token=$(cat {token}; cat {backup} | wc -c)\n\
         echo peer=$({psql} -XAtw -h {socket} -U postgres postgres -c 'select 4711' 2>&1)\n\
         echo secrets=$(cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c s3cret)\n\
         setsid sleep 4711 >/dev/null 2>&1 &\n",
        token = token.display(),
        backup = scratch.join(NAME).display(),
        psql = psql.display(),
        socket = other.socket().display(),
    );
    let ran = run_by_a_backup(&scratch, &script, |backup| {
        own(&scratch, backup)
            .env("SECRET_OF_THE_JOB", "s3cret")
            .env("PGPASSWORD", "s3cret")
    });
    let me = rustix::process::geteuid().as_raw().to_string();
    if !is_root() {
        assert_eq!(ran.get("user"), me);
        return;
    }
    let user = ran.get("user");
    assert_ne!(user, me, "{}", ran.0);
    assert_eq!(ran.get("groups"), user, "{}", ran.0);
    assert_eq!(ran.get("known"), "", "{}", ran.0);
    assert_eq!(ran.get("privileges"), "NoNewPrivs: 1");
    assert_eq!(ran.get("token"), "0", "{}", ran.0);
    assert!(
        ran.get("peer").contains("Peer authentication failed"),
        "{}",
        ran.0
    );
    assert_eq!(ran.get("secrets"), "0", "{}", ran.0);
    // What left the server's session ends with the test all the same.
    let theirs = || processes_of(user);
    wait_for("what the backup started to be gone", || {
        theirs().is_empty().then_some(())
    });
    assert_eq!(scratch::names(scratch.join("servers")), [""; 0]);
}

/// The command lines of a user's processes, those that wait to be collected not among them.
fn processes_of(user: &str) -> Vec<String> {
    let seen = Program::other("ps")
        .args(["-o", "stat=,args=", "-U", user])
        .run();
    let lines = seen.out();
    lines
        .lines()
        .filter(|it| !it.starts_with('Z'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn no_psql_of_the_test_runs_as_root() {
    let scratch = Scratch::new();
    let cluster = Cluster::start();
    scratch.make("out");
    // First on the PATH, and then the real one.
    let psql = scratch.make("bin").join("psql");
    let real = cluster.version().bin().join("psql");
    let script = format!(
        "#!/bin/sh\necho $(id -u) >>{}\nexec {} \"$@\"\n",
        scratch.join("out/users").display(),
        real.display()
    );
    fs::write(&psql, script).unwrap();
    fs::set_permissions(&psql, Permissions::from_mode(0o755)).unwrap();
    let dump = part("shop", "CREATE TABLE public.t (a integer);\n");
    let backup = taken(&scratch, &dump);
    let path = format!(
        "{}:{}",
        scratch.join("bin").display(),
        std::env::var("PATH").unwrap()
    );
    let me = rustix::process::geteuid().as_raw().to_string();
    let users = scratch.write("out/users", "");
    fs::set_permissions(&users, Permissions::from_mode(0o666)).unwrap();
    for program in [own(&scratch, &backup), into(&cluster, &backup, "postgres")] {
        let seen = program.env("PATH", &path).succeeds();
        let said = fs::read_to_string(&users).unwrap();
        fs::write(&users, "").unwrap();
        let users: Vec<&str> = said.lines().collect();
        assert!(users.len() > 5, "{users:?}\n{seen}");
        // The first looks whether the server of --into answers anybody, before anything of the backup is there.
        let others = users.iter().filter(|it| **it == me).count();
        match is_root() {
            true => assert!(others <= 1, "{users:?}\n{seen}"),
            false => assert_eq!(others, users.len(), "{users:?}\n{seen}"),
        }
    }
}

#[test]
fn where_root_may_become_nobody_that_is_said() {
    let scratch = Scratch::new();
    let cluster = Cluster::start();
    let backup = taken(
        &scratch,
        &part("shop", "CREATE TABLE public.t (a integer);\n"),
    );
    let limited = |options: &[&str]| {
        let program = Program::other("setpriv").args(["--bounding-set=-kill,-setuid", "--"]);
        let program = program.arg(tool::program("backup-verify")).arg(&backup);
        program
            .args(["--restore-test", "--max-used=100%"])
            .args(options)
            .on(&cluster)
    };
    if !is_root() {
        // There is nobody to become.
        own(&scratch, &backup).succeeds();
        return;
    }
    limited(&[]).fails(1).says("it lacks CAP_KILL, CAP_SETUID");
    let seen = limited(&["--into", "dbname=postgres"]).succeeds();
    seen.says(
        "psql runs as root, for it cannot reach the server as anybody else: root lacks CAP_KILL",
    );
    // A directory that only the account of servers may enter.
    let closed = cluster.server_dir("closed");
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    let seen = own(&scratch, &backup)
        .arg("--work-dir")
        .arg(&closed)
        .succeeds();
    seen.says("who may own more on this machine: user ")
        .says("cannot run it: Permission denied");
    assert_eq!(scratch::names(&closed), [""; 0], "{seen}");
}

/// What is in the way of whoever connects, or looks: settings, functions and operators of its own, triggers.
const HINDRANCES: &str = r#"
CREATE TABLE public.t (a integer);
INSERT INTO public.t SELECT generate_series(1, 9);
CREATE TABLE public.log (what text);
CREATE INDEX i ON public.t USING btree (a);
CREATE SCHEMA evil;
CREATE FUNCTION evil.count("any") RETURNS bigint LANGUAGE internal AS 'pg_backend_pid';
CREATE FUNCTION evil.format(text, VARIADIC "any") RETURNS text LANGUAGE internal AS 'quote_ident';
CREATE VIEW evil.pg_class AS SELECT 1 AS oid;
CREATE FUNCTION evil.never(oid, oid) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR evil.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = evil.never);
CREATE FUNCTION evil.log() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO public.log VALUES (tg_tag); END$$;
CREATE FUNCTION evil.no() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no DDL without a ticket'; END$$;
ALTER DATABASE shop SET search_path = evil, pg_catalog;
ALTER DATABASE shop SET role = 'pg_monitor';
ALTER DATABASE shop SET row_security = off;
ALTER DATABASE shop SET client_encoding = 'SJIS';
ALTER DATABASE shop SET default_transaction_read_only = on;
ALTER DATABASE shop SET standard_conforming_strings = off;
ALTER DATABASE shop SET statement_timeout = 1;
ALTER DATABASE shop SET lock_timeout = 1;
ALTER DATABASE shop SET idle_session_timeout = 1;
ALTER DATABASE shop SET array_nulls = off;
ALTER DATABASE shop SET quote_all_identifiers = on;
ALTER DATABASE shop SET client_min_messages = 'debug5';
ALTER DATABASE shop SET session_preload_libraries = 'no_such_library';
ALTER DATABASE shop SET local_preload_libraries = 'no_such_library';
CREATE SUBSCRIPTION feed CONNECTION 'host=nowhere' PUBLICATION feed WITH (connect = false, slot_name = NONE);
CREATE EVENT TRIGGER log ON ddl_command_end EXECUTE FUNCTION evil.log();
CREATE EVENT TRIGGER no ON ddl_command_start EXECUTE FUNCTION evil.no();
"#;

/// Since PostgreSQL 17.
const AT_LOGIN: &str = r#"
CREATE FUNCTION evil.login() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN
 INSERT INTO public.log VALUES (session_user); RAISE EXCEPTION 'nobody comes in';
END$$;
CREATE EVENT TRIGGER login ON login EXECUTE FUNCTION evil.login();
ALTER EVENT TRIGGER login ENABLE ALWAYS;
"#;

#[test]
fn what_a_database_sets_changes_nothing_that_is_seen() {
    for major in [14, 15, 17, 18] {
        let version = Version::of(major);
        let scratch = Scratch::new();
        let mut sql = HINDRANCES.to_owned();
        if major >= 17 {
            // Before the trigger that lets nothing more be created.
            let at = sql.find("CREATE EVENT TRIGGER log").unwrap();
            sql.insert_str(at, AT_LOGIN);
            let at = sql.find("CREATE EVENT TRIGGER log").unwrap();
            sql.insert_str(at, "ALTER DATABASE shop SET transaction_timeout = 1;\n");
        }
        let tables = [("public.t", 9), ("public.log", 0)];
        let backup = indexed(&scratch, &sql, &tables);
        let bin = version.bin();
        let seen = own(&scratch, &backup)
            .arg("--pg-bindir")
            .arg(bin)
            .succeeds();
        seen.prints("'shop' tables: 2 with 9 rows, indexes: 1, ");
        let cluster = Cluster::of(version);
        let seen = into(&cluster, &backup, "postgres").succeeds();
        seen.prints("'shop' tables: 2 with 9 rows, indexes: 1, ");
        assert_eq!(cluster.databases(), ["postgres"], "{seen}");
    }
}
