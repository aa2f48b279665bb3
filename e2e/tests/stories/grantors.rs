//! Memberships remember who granted them (PostgreSQL 16 and newer), and the first superuser may have another name.

use std::path::Path;

use e2e::{Cluster, Program, Scratch, Version, backup};
use serde_json::Value;

fn restore(backup: &Path, cluster: &Cluster) -> Program {
    Program::new("restore-stream").arg(backup).on(cluster)
}

/// A chain: the first superuser grants to chief, chief to bob, bob to ann; and what it owns.
const CHAIN: &str = "
create role chief createrole login; create role app; create role \"the reader\"; create role bob login;
create role ann login; create role \"Boss\" superuser login;
grant app to bob;
grant pg_read_all_data to ann with admin option;
grant \"the reader\" to chief with admin option;
set role chief; grant \"the reader\" to bob with admin option, inherit false;
set role bob; grant \"the reader\" to ann with set false; reset role;
set role \"Boss\"; grant app to chief with inherit false; reset role;
alter default privileges grant select on tables to ann;
create database shop owner app;
";

/// Every membership with its options and its grantor; the first superuser is `first`.
const MEMBERSHIPS: &str = "
select a.roleid::regrole, a.member::regrole, admin_option, inherit_option, set_option,
 case when a.grantor = 10 then 'first' else a.grantor::regrole::text end
from pg_auth_members a where a.grantor <> 10 or a.roleid::regrole::text !~ '^pg_' or a.member > 16383
order by a.roleid::regrole::text collate \"C\", a.member::regrole::text collate \"C\", 6";

fn chain(cluster: &Cluster) {
    e2e::sample::load(cluster, CHAIN);
    cluster.sql(
        "shop",
        "alter default privileges for role app grant select on tables to ann; create table t as select 1 as one",
    );
}

#[test]
fn a_first_superuser_of_another_name() {
    for (from, to) in [(16, [16, 17, 18].as_slice()), (18, &[18])] {
        let source = Cluster::made_by("admin", Version::of(from), &[], "");
        chain(&source);
        let wanted = source.sql("postgres", MEMBERSHIPS);
        assert_eq!(wanted.lines().count(), 6, "{wanted}");
        let dir = Scratch::new();
        let paths = backup::both(&source, &dir);
        for major in to {
            for path in &paths {
                let target = Cluster::of(Version::of(*major));
                let seen = restore(path, &target).arg("--json").succeeds();
                seen.says(
                    "changed: memberships that 'admin' has granted (4 statements): here 'postgres'",
                );
                assert_eq!(target.sql("postgres", MEMBERSHIPS), wanted, "{seen}");
                let owners = "select relowner::regrole, (select datdba::regrole from pg_database where datname = 'shop') from pg_class where relname = 't'";
                assert_eq!(target.sql("shop", owners), "admin|app");
                assert_eq!(
                    target.sql("shop", "select defaclrole::regrole from pg_default_acl"),
                    "app"
                );
                assert_eq!(
                    target.sql("postgres", "select defaclrole::regrole from pg_default_acl"),
                    "admin"
                );
                let report: Value = serde_json::from_str(&seen.out()).unwrap();
                let changed = &report["changed"][0];
                assert_eq!(changed["what"], "memberships that 'admin' has granted");
                assert_eq!(changed["statements"], 4);
                assert_eq!(report["skipped"], Value::Array(Vec::new()), "{seen}");
                // All of it is there by now; the chain is granted again.
                restore(path, &target).arg("--globals-only").succeeds();
                assert_eq!(target.sql("postgres", MEMBERSHIPS), wanted);
            }
        }
    }
}

/// Where the first superuser has the same name, nothing is changed.
#[test]
fn a_first_superuser_of_the_same_name() {
    let source = Cluster::of(Version::of(16));
    chain(&source);
    let dir = Scratch::new();
    for path in backup::both(&source, &dir) {
        let target = Cluster::of(Version::of(16));
        let seen = restore(&path, &target).succeeds();
        seen.hides("changed:");
        assert_eq!(
            target.sql("postgres", MEMBERSHIPS),
            source.sql("postgres", MEMBERSHIPS)
        );
    }
}

/// pg_dumpall 15 names any grantor, in the order of the roles' names; a grantor of then may not have been one of now.
#[test]
fn grantors_of_an_older_server() {
    let source = Cluster::made_by("root me", Version::of(15), &[], "");
    e2e::sample::load(
        &source,
        "create role aaa; create role bbb login; create role zzz superuser login; create role r1; create role r2;
         grant r1 to bbb with admin option; set session authorization bbb; grant r1 to aaa;
         set session authorization zzz; grant r2 to aaa;",
    );
    let dir = Scratch::new();
    for path in backup::both(&source, &dir) {
        let target = Cluster::of(Version::of(16));
        let seen = restore(&path, &target).succeeds();
        seen.says("memberships that 'root me' has granted: here 'postgres'")
            .says("memberships that 'zzz' has granted: here 'postgres'");
        let wanted = "r1|aaa|f|t|t|bbb\nr1|bbb|t|t|t|first\nr2|aaa|f|t|t|first";
        assert_eq!(target.sql("postgres", MEMBERSHIPS), wanted, "{seen}");
        // An older server takes any grantor.
        let old = Cluster::of(Version::of(15));
        restore(&path, &old).succeeds().hides("changed:");
        let grantors = "select string_agg(grantor::regrole::text, ' ' order by grantor::regrole::text) from pg_auth_members where roleid > 16383";
        assert_eq!(
            old.sql("postgres", grantors),
            source.sql("postgres", grantors)
        );
    }
}

/// Whoever is no superuser may name no other grantor: memberships come all the same.
#[test]
fn whoever_restores_is_no_superuser() {
    let source = Cluster::made_by("admin", Version::of(16), &[], "");
    e2e::sample::load(
        &source,
        "create role a; create role b; create role c; grant a to b with admin option, set false; set role b; grant a to c;",
    );
    let dir = Scratch::new();
    let dump = String::from_utf8(source.dump_all(&["--globals-only"])).unwrap();
    // Nobody but a superuser can make a superuser.
    let dump: String = dump
        .lines()
        .filter(|line| !line.contains("ROLE admin"))
        .map(|line| {
            let line = line
                .replace(" NOSUPERUSER", "")
                .replace(" NOREPLICATION", "");
            line.replace(" NOBYPASSRLS", "") + "\n"
        })
        .collect();
    let gz = dir.join("globals.sql.gz");
    Program::other("gzip")
        .stdin(dump)
        .stdout_file(&gz)
        .succeeds();
    let target = Cluster::of(Version::of(17));
    target.sql("postgres", "create role keeper login createrole createdb");
    let seen = restore(&gz, &target)
        .arg("--globals-only")
        .env("PGUSER", "keeper")
        .succeeds();
    seen.says("here 'keeper' grants them: only a superuser can name another");
    let members = "select a.roleid::regrole, a.member::regrole, admin_option, set_option, grantor::regrole from pg_auth_members a where a.roleid::regrole::text = 'a' and grantor > 10 order by a.member::regrole::text";
    assert_eq!(
        target.sql("postgres", members),
        "a|b|t|f|keeper\na|c|f|t|keeper"
    );
}
