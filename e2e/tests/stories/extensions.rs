//! Extensions as Debian has them: PostGIS, whose tables hold rows of its own and of the user's, and pg_cron, which insists
//! on one database's name.

use std::path::Path;

use e2e::{Cluster, Program, Scratch, Version, backup, compare};

/// Everything that a restore may trip over: types and functions of an extension, an index and a constraint by
/// them, a row that the user has added to the extension's table, a topology, which is rows in the extension's tables.
const MAP: &str = "
    create extension postgis;
    create extension postgis_topology;
    create extension fuzzystrmatch;
    create schema map;
    create table map.places (
        name text primary key,
        at public.geography(point) not null,
        shape public.geometry(polygon, 3857),
        area float generated always as (public.st_area(shape)) stored,
        constraint valid check (public.st_isvalid(shape))
    );
    insert into map.places
        select 'place ' || i, public.st_makepoint(i % 180, i % 90)::public.geography,
               public.st_buffer(public.st_setsrid(public.st_makepoint(i, i), 3857), 10 + i)
          from generate_series(1, 500) i;
    create index on map.places using gist (at);
    create index on map.places using gist (shape);
    create materialized view map.near as
        select a.name from map.places a, map.places b
         where b.name = 'place 7' and public.st_dwithin(a.at, b.at, 500000);
    insert into public.spatial_ref_sys (srid, auth_name, auth_srid, proj4text)
        values (990001, 'own', 1, '+proj=longlat +datum=WGS84 +no_defs');
    select topology.createtopology('streets', 3857);
    select topology.addnode('streets', public.st_setsrid(public.st_makepoint(1, 2), 3857));
";

fn tested(scratch: &Scratch, backup: &Path) -> Program {
    Program::new("backup-verify")
        .arg(backup)
        .args(["--restore-test", "--max-used=100%", "--pg-bindir"])
        .arg(Version::debian().bin())
        .env("TMPDIR", scratch.make("servers"))
}

#[test]
fn postgis_is_tested_and_comes_back() {
    let first = Cluster::start();
    first.sql("postgres", "create database city");
    first.sql("city", MAP);
    let dir = Scratch::new();
    let [ours, foreign] = backup::both(&first, &dir);
    let seen = tested(&dir, &ours).succeeds();
    assert!(
        seen.out().contains("500 rows") || seen.out().contains("'city'"),
        "{seen}"
    );
    for path in [&ours, &foreign] {
        let second = Cluster::start();
        Program::new("restore-stream")
            .arg(path)
            .on(&second)
            .succeeds();
        compare::same_clusters(&first, &second);
        Program::new("restore-stream")
            .arg(path)
            .args(["--database", "city", "--replace", "--yes"])
            .on(&second)
            .succeeds();
        let near = "select (select count(*) from map.near), (select count(*) from public.spatial_ref_sys where srid = 990001),
                           (select count(*) from streets.node)";
        assert_eq!(second.sql("city", near), first.sql("city", near));
    }
}

/// A server that does not load it is no reason to call the backup bad.
#[test]
fn pg_cron_that_the_test_s_server_does_not_load_says_nothing_about_the_backup() {
    let settings = "shared_preload_libraries = 'pg_cron'\ncron.database_name = 'jobs'\n";
    let cluster = Cluster::with(Version::debian(), &[], settings);
    for name in ["jobs", "shop"] {
        cluster.sql("postgres", &format!("create database {name}"));
    }
    cluster.sql(
        "jobs",
        "create extension pg_cron; select cron.schedule('nightly', '0 3 * * *', 'vacuum')",
    );
    cluster.sql("shop", "create table t as select generate_series(1, 9) i");
    let dir = Scratch::new();
    let path = backup::dump(&cluster, dir.path());
    let seen = tested(&dir, &path).fails(1);
    seen.says("1 of 4 databases could not be tested");
    let out = seen.out();
    let says = |words: [&str; 2]| {
        out.lines()
            .any(|line| words.iter().all(|it| line.contains(it)))
    };
    assert!(
        says(["'jobs' could not be tested: CREATE EXTENSION", "pg_cron"]),
        "{seen}"
    );
    assert!(says(["'shop'", "9 rows"]), "{seen}");
}
