//! A connection pooler in the server's place: it is told from a server before anything is read.

use e2e::{Cluster, PgBouncer, Program, Scratch, backup, compare, sample};

/// What PgBouncer does with a setting that it does not know: it refuses the connection, or leaves it out, as
/// CloudNativePG and others let it do for the sake of JDBC.
const SETTINGS: [&str; 3] = [
    "",
    "ignore_startup_parameters = extra_float_digits,options",
    "ignore_startup_parameters = extra_float_digits,options,geqo,search_path",
];

#[test]
fn a_pooler_is_refused_before_anything_is_read() {
    let cluster = Cluster::start();
    sample::company(&cluster);
    let dir = Scratch::new();
    let path = backup::dump(&cluster, dir.path());
    let before = cluster.dump_all::<&str>(&[]);
    for mode in ["session", "transaction"] {
        for settings in SETTINGS {
            let pooler = PgBouncer::start(&cluster, mode, settings);
            let through = |program: Program| program.on(&cluster).envs(pooler.env());
            let restore = || through(Program::new("restore-stream"));
            // psql itself has no objections.
            let psql = through(Program::other("psql"));
            assert_eq!(psql.args(["-XAtc", "select 1"]).succeeds().out(), "1");

            for options in [
                &["--database", "shop", "--as", "copy"][..],
                &[
                    "--replace",
                    "--force-disconnect",
                    "--yes",
                    "-d",
                    "dbname=shop",
                ],
                &["--globals-only"],
            ] {
                let seen = restore().arg(&path).args(options).fails(4);
                seen.says("a connection pooler").says("PostgreSQL itself");
            }
            // What is no backup at all would be exit code 3.
            let seen = restore().arg("-").stdin("no backup").fails(4);
            seen.says("a connection pooler");
            let nonsense = dir.write("nonsense.sql.gz", b"no backup");
            let seen = restore().arg(&nonsense).arg("--verify-first").fails(4);
            seen.says("a connection pooler");

            let seen = through(Program::new("backup-verify"))
                .arg(&path)
                .args(["--restore-test", "--database", "shop"])
                .args(["--into", "dbname=postgres"])
                .fails(1);
            seen.says("a connection pooler");
            // pg_dump's settings and its queries may reach two sessions, and nobody would notice.
            let seen = through(Program::new("pgdump-gz")).fails(4);
            seen.says("a connection pooler");
            assert!(seen.stdout.is_empty(), "{seen}");
        }
    }
    let after = cluster.dump_all::<&str>(&[]);
    compare::same_text(("before", &before), ("after", &after));
}

/// Whatever of its own a server, a role or a service says, it is a server.
#[test]
fn a_server_is_no_pooler() {
    let cluster = Cluster::start();
    sample::company(&cluster);
    let dir = Scratch::new();
    let path = backup::dump(&cluster, dir.path());
    cluster.sql("postgres", "alter system set geqo = off");
    cluster.sql("postgres", "alter role postgres set geqo = on");
    cluster.sql("postgres", "select pg_reload_conf()");
    let service = dir.write(
        "service",
        b"[it]\noptions=-c geqo=on -c search_path=public\napplication_name=mine\n",
    );
    let restore = || {
        Program::new("restore-stream")
            .arg(&path)
            .args(["--database", "shop", "--replace", "--yes", "--drop-old"])
            .on(&cluster)
    };
    restore().env("PGGEQO", "on").succeeds();
    restore().env("PGOPTIONS", "-c geqo=on").succeeds();
    restore()
        .env("PGSERVICEFILE", &service)
        .env("PGSERVICE", "it")
        .succeeds();
    restore()
        .args(["-d", "options='-c geqo=on' application_name=mine"])
        .succeeds();
    Program::new("pgdump-gz")
        .on(&cluster)
        .env("PGGEQO", "on")
        .succeeds();
    // An error of the server's is one, and no sign of a pooler.
    let seen = restore().env("PGUSER", "nobody_of_that_name").fails(1);
    seen.says("nobody_of_that_name").hides("pooler");
    let seen = restore().env("PGHOST", dir.path()).fails(1);
    seen.hides("pooler");
}
