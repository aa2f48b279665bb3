//! What restore-stream does with what is there already: databases, their connections, roles.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};

use e2e::{Cluster, Program, Running, Scratch, Seen, Version, backup, compare, sample, wait_for};
use serde_json::Value;

/// A backup of the small company, and the cluster that it is of.
fn company(dir: &Scratch) -> (Cluster, PathBuf) {
    let cluster = Cluster::start();
    sample::company(&cluster);
    let path = backup::dump(&cluster, dir.path());
    (cluster, path)
}

fn restore(backup: &Path, cluster: &Cluster) -> Program {
    Program::new("restore-stream").arg(backup).on(cluster)
}

/// A person who is connected, and stays so.
struct Connection {
    child: Child,
    _stdin: ChildStdin,
}

impl Connection {
    fn to(cluster: &Cluster, database: &str) -> Self {
        let mut child = cluster
            .psql(database)
            .env("PGAPPNAME", "somebody")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"select 1;\n").unwrap();
        let connection = Self {
            child,
            _stdin: stdin,
        };
        wait_for("a connection", || {
            (connection.count(cluster, database) == "1").then_some(())
        });
        connection
    }

    fn count(&self, cluster: &Cluster, database: &str) -> String {
        let sql = format!(
            "select count(*) from pg_stat_activity where application_name = 'somebody' and datname = '{database}'"
        );
        cluster.sql("postgres", &sql)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What belongs to a database and is not in it: owner, privileges, settings, comment.
fn about(cluster: &Cluster, database: &str) -> String {
    cluster.sql(
        "postgres",
        &format!(
            "select pg_get_userbyid(datdba), datacl, pg_encoding_to_char(encoding), datcollate, datctype,
                    shobj_description(oid, 'pg_database'),
                    (select array_agg((pg_get_userbyid(setrole), setconfig) order by 1)
                     from pg_db_role_setting where setdatabase = d.oid and setrole <> 0)
             from pg_database d where datname = '{database}'"
        ),
    )
}

fn kept(cluster: &Cluster, name: &str) -> Vec<String> {
    let beginning = format!("{name}_replaced_");
    let names = cluster.databases().into_iter();
    names.filter(|name| name.starts_with(&beginning)).collect()
}

#[test]
fn what_is_there_is_not_touched_unless_told_to() {
    let dir = Scratch::new();
    let (first, path) = company(&dir);
    let second = Cluster::start();
    second.sql("postgres", "create database shop");
    second.sql("shop", "create table mine as select 1 as one");
    let before = second.dump_all::<&str>(&[]);
    for options in [&[][..], &["--database", "shop"], &["--jobs", "2"]] {
        let seen = restore(&path, &second).args(options).fails(4);
        seen.says("'shop' is there and is not empty")
            .says("--replace")
            .says("--as");
    }
    // Nobody is asked here, and --replace is not done unasked.
    let seen = restore(&path, &second)
        .args(["--database", "shop", "--replace"])
        .fails(4);
    seen.says("--yes");
    compare::same_text(
        ("before", &before),
        ("after", &second.dump_all::<&str>(&[])),
    );

    // The roles, then beside it, with all that belongs to it.
    let seen = restore(&path, &second).arg("--globals-only").succeeds();
    seen.says("left out: role 'postgres'");
    restore(&path, &second)
        .args(["--database", "shop", "--as", "shop \"check\""])
        .succeeds();
    compare::same_text(
        ("the shop", &first.dump_one("shop")),
        ("its copy", &second.dump_one("shop \"check\"")),
    );
    assert_eq!(about(&second, "shop \"check\""), about(&first, "shop"));
    assert_eq!(second.sql("shop", "select one from mine"), "1");

    // An empty database is in nobody's way.
    second.sql("postgres", "create database jupyterhub");
    restore(&path, &second)
        .args(["--database", "jupyterhub"])
        .succeeds();
    compare::same_text(
        ("jupyterhub", &first.dump_one("jupyterhub")),
        ("restored", &second.dump_one("jupyterhub")),
    );
    assert_eq!(
        second.databases(),
        ["jupyterhub", "postgres", "shop", "shop \"check\""]
    );
}

#[test]
fn a_database_takes_the_place_of_another() {
    let dir = Scratch::new();
    let (cluster, path) = company(&dir);
    let (wanted, wanted_about) = (cluster.dump_one("shop"), about(&cluster, "shop"));
    let others = ["archive", "jupyterhub"].map(|name| (name, cluster.dump_one(name)));
    cluster.sql("shop", "drop schema public cascade");
    let damaged = cluster.dump_one("shop");
    let replace = ["--database", "shop", "--replace", "--yes"];

    // Somebody works in it, and somebody in another database.
    let bystander = Connection::to(&cluster, "jupyterhub");
    let user = Connection::to(&cluster, "shop");
    let seen = restore(&path, &cluster).args(replace).fails(4);
    seen.says("connected to 'shop'")
        .says("somebody")
        .says("--force-disconnect");
    assert_eq!(user.count(&cluster, "shop"), "1");
    compare::same_text(
        ("damaged", &damaged),
        ("after the refusal", &cluster.dump_one("shop")),
    );

    let seen = restore(&path, &cluster)
        .args(replace)
        .args(["--force-disconnect", "--json"])
        .succeeds();
    assert_eq!(user.count(&cluster, "shop"), "0");
    assert_eq!(bystander.count(&cluster, "jupyterhub"), "1");
    compare::same_text(("wanted", &wanted), ("restored", &cluster.dump_one("shop")));
    assert_eq!(about(&cluster, "shop"), wanted_about);
    for (name, before) in &others {
        compare::same_text((name, before), (name, &cluster.dump_one(name)));
    }

    // The old one is kept, as the report says, until it is dropped.
    let names = kept(&cluster, "shop");
    let report: Value = serde_json::from_str(&seen.out()).unwrap();
    assert_eq!(report["ok"], true);
    assert_eq!(report["databases"][0]["replaced"], names[0].as_str());
    assert_eq!(names.len(), 1);
    compare::same_text(
        ("damaged", &damaged),
        ("kept", &cluster.dump_one(&names[0])),
    );
    restore(&path, &cluster)
        .args(replace)
        .arg("--drop-old")
        .succeeds();
    assert_eq!(kept(&cluster, "shop"), names);
}

/// On a terminal it says what it will do, and asks.
#[test]
fn on_a_terminal_it_asks() {
    let dir = Scratch::new();
    let (cluster, path) = company(&dir);
    let wanted = cluster.dump_one("shop");
    cluster.sql("shop", "create table more as select 1 as one");
    let damaged = cluster.dump_one("shop");
    let line = format!(
        "restore-stream {} --database shop --replace",
        path.display()
    );
    for (answer, code, after) in [("no\n", 4, &damaged), ("yes\n", 0, &wanted)] {
        let seen = Program::other("script")
            .args(["-qec", &line, "/dev/null"])
            .on(&cluster)
            .stdin(answer)
            .fails(code);
        let said = seen.out();
        for words in ["in the place of the one that is there", "go on?"] {
            assert!(said.contains(words), "{seen}");
        }
        compare::same_text(("wanted", after), (answer, &cluster.dump_one("shop")));
    }
}

#[test]
fn a_whole_cluster_takes_the_place_of_another() {
    let dir = Scratch::new();
    let (cluster, path) = company(&dir);
    let before = cluster.dump_all::<&str>(&[]);
    cluster.sql("shop", "drop schema public cascade");
    cluster.sql("postgres", "drop database archive");
    cluster.sql("jupyterhub", "truncate users cascade");
    for jobs in ["1", "3"] {
        restore(&path, &cluster)
            .args(["--replace", "--yes", "--drop-old", "--jobs", jobs])
            .succeeds();
        compare::same_text(("before", &before), (jobs, &cluster.dump_all::<&str>(&[])));
    }
}

#[test]
fn the_maintenance_databases_are_restored_in_place() {
    let first = Cluster::start();
    first.sql("postgres", "create table in_postgres as select 1 as one");
    first.sql("postgres", "select lo_from_bytea(4711, 'large')");
    first.sql("template1", "create extension pg_trgm");
    first.sql("postgres", "create database other template template0");
    let dir = Scratch::new();
    let path = backup::dump(&first, dir.path());
    let foreign = dir.join("foreign.sql.gz");
    Program::sh("pg_dumpall | gzip")
        .on(&first)
        .stdout_file(&foreign)
        .succeeds();
    for backup in [&path, &foreign] {
        let second = Cluster::start();
        restore(backup, &second).succeeds();
        compare::same_clusters(&first, &second);
        // Not a second time.
        let seen = restore(backup, &second).fails(4);
        seen.says("restored in place, and is not empty");
        let seen = restore(backup, &second)
            .args(["--exclude-database", "template1"])
            .args(["--exclude-database", "postgres", "--replace", "--yes"])
            .succeeds();
        seen.says("restored 'other'");
        restore(backup, &second)
            .args(["--database", "postgres", "--as", "copy of it"])
            .succeeds();
        assert_eq!(second.sql("copy of it", "select one from in_postgres"), "1");
    }
}

/// In place, nothing of a database stands that does not stand whole.
#[test]
fn what_fails_in_place_leaves_nothing() {
    let first = Cluster::start();
    first.sql("postgres", "create table a as select 1 as one");
    first.sql("postgres", "select lo_from_bytea(4711, 'large')");
    first.sql("postgres", "create database other");
    let dir = Scratch::new();
    let path = backup::dump(&first, dir.path());
    let sql = backup::gunzip(&path);
    let sql = String::from_utf8_lossy(backup::divide(&sql).0).into_owned();
    let wrong = sql.replace("\\connect other\n", "\\connect other\nCREATE NONSENSE;\n");
    assert_ne!(wrong, sql);
    let gz = dir.join("wrong.sql.gz");
    Program::other("gzip")
        .stdin(wrong)
        .stdout_file(&gz)
        .succeeds();
    let second = Cluster::start();
    let before = second.dump_all::<&str>(&[]);
    let seen = restore(&gz, &second).arg("--json").fails(1);
    seen.says("syntax error")
        .says("roles and tablespaces that were created until then stay");
    let report: Value = serde_json::from_str(&seen.out()).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(report["databases"].as_array().unwrap().len(), 0);
    compare::same_text(
        ("before", &before),
        ("after", &second.dump_all::<&str>(&[])),
    );
}

#[test]
fn roles_that_are_there_stay_as_they_are() {
    let dir = Scratch::new();
    let (_first, path) = company(&dir);
    let second = Cluster::start();
    second.sql(
        "postgres",
        "create role app_shop login password 'mine' connection limit 3",
    );
    let password = "select rolpassword, rolconnlimit from pg_authid where rolname = 'app_shop'";
    let mine = second.sql("postgres", password);
    let seen = restore(&path, &second).arg("--json").succeeds();
    seen.says("left out: role 'app_shop'");
    assert!(seen.out().contains("role 'app_shop'"), "{seen}");
    assert_eq!(second.sql("postgres", password), mine);
    assert_eq!(
        second.sql(
            "postgres",
            "select count(*) from pg_roles where rolname ~ 'Renée'"
        ),
        "1"
    );
    restore(&path, &second)
        .args(["--globals-only", "--role-passwords"])
        .succeeds();
    assert_ne!(second.sql("postgres", password), mine);

    let third = Cluster::start();
    let seen = restore(&path, &third).arg("--no-globals").fails(1);
    seen.says("does not exist").says("--globals-only");
    assert_eq!(third.databases(), ["postgres"]);
}

/// A restore that waits for the second half of its backup.
struct Halted {
    running: Running,
    rest: Vec<u8>,
    pipe: File,
}

impl Halted {
    /// Starts it, and waits until it has begun the database.
    fn start(dir: &Scratch, backup: &Path, restore: Program, cluster: &Cluster) -> Self {
        let path = dir.join("pipe");
        Program::other("mkfifo").arg(&path).succeeds();
        // Held open for reading too: it opens at once, and nobody sees its end.
        let mut pipe = File::options().read(true).write(true).open(&path).unwrap();
        let running = restore.stdin_file(&path).spawn();
        let mut first = fs::read(backup).unwrap();
        let rest = first.split_off(first.len() / 2);
        pipe.write_all(&first).unwrap();
        wait_for("a database that is being restored", || {
            let names = cluster.databases();
            names
                .iter()
                .any(|name| name.starts_with("restoring_"))
                .then_some(())
        });
        Self {
            running,
            rest,
            pipe,
        }
    }

    fn go_on(mut self) -> Seen {
        self.pipe.write_all(&self.rest).unwrap();
        drop(self.pipe);
        self.running.wait()
    }
}

/// It was empty when the restore began, and the application has come back too soon.
#[test]
fn an_empty_database_that_is_filled_meanwhile_is_not_lost() {
    let dir = Scratch::new();
    let (_first, path) = company(&dir);
    for replace in [false, true] {
        let dir = Scratch::new();
        let second = Cluster::start();
        restore(&path, &second).arg("--globals-only").succeeds();
        second.sql("postgres", "create database jupyterhub");
        let mut options = vec!["--database", "jupyterhub"];
        if replace {
            options.extend(["--replace", "--yes"]);
        }
        let run = restore(Path::new("-"), &second).args(&options);
        let halted = Halted::start(&dir, &path, run, &second);
        second.sql("jupyterhub", "create table mine as select 1 as one");
        let seen = halted.go_on();
        let mine = match replace {
            false => {
                assert_eq!(seen.code(), Some(4), "{seen}");
                seen.says("was filled while this ran").says("--replace");
                assert_eq!(second.databases(), ["jupyterhub", "postgres"], "{seen}");
                "jupyterhub".to_owned()
            }
            true => {
                assert_eq!(seen.code(), Some(0), "{seen}");
                assert_eq!(
                    second.sql("jupyterhub", "select count(*) > 0 from users"),
                    "t"
                );
                let kept = kept(&second, "jupyterhub").remove(0);
                seen.says(&format!("is kept as '{kept}'"));
                kept
            }
        };
        assert_eq!(second.sql(&mine, "select one from mine"), "1");
    }
}

/// One of them cannot get its name: none does, although another was renamed before it.
#[test]
fn all_databases_get_their_names_or_none() {
    let dir = Scratch::new();
    let (cluster, path) = company(&dir);
    cluster.sql("archive", "create table mine as select 1 as one");
    let before = cluster.dump_all::<&str>(&[]);
    let run = restore(Path::new("-"), &cluster).args(["--replace", "--yes", "--json"]);
    let halted = Halted::start(&dir, &path, run, &cluster);
    wait_for("the archive's turn", || {
        let names = cluster.databases();
        let begun = |name: &String| name.starts_with("restoring_") && name.ends_with("_1");
        names.iter().any(begun).then_some(())
    });
    let user = Connection::to(&cluster, "archive");
    let seen = halted.go_on();
    assert_eq!(seen.code(), Some(4), "{seen}");
    seen.says("connected to 'archive'")
        .says("nothing was changed");
    assert_eq!(user.count(&cluster, "archive"), "1");
    let report: Value = serde_json::from_str(&seen.out()).unwrap();
    assert_eq!(report["databases"].as_array().unwrap().len(), 0, "{seen}");
    compare::same_text(
        ("before", &before),
        ("after", &cluster.dump_all::<&str>(&[])),
    );
}

/// The names are changed, and the answer to that is lost: the names tell.
#[test]
fn what_is_said_of_the_names_is_true_when_the_answer_is_lost() {
    let dir = Scratch::new();
    let (cluster, path) = company(&dir);
    let bin = dir.make("bin");
    let real = cluster.version().bin().join("psql");
    let script = |then: &str| {
        let text = format!(
            "#!/bin/sh\ncase \"$*\" in *--tuples-only*) ;; *) exec '{real}' \"$@\" ;; esac\n\
             sql=$(cat)\ncase $sql in *'RENAME TO'*) {then} ;; esac\n\
             printf '%s\\n' \"$sql\" | '{real}' \"$@\"\n",
            real = real.display(),
        );
        let path = bin.join("psql");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let wanted = cluster.dump_one("shop");
    cluster.sql("shop", "create table more as select 1 as one");
    let damaged = cluster.dump_one("shop");
    let env = cluster.env();
    let own = env.iter().find(|(name, _)| *name == "PATH").unwrap();
    let path_with = format!("{}:{}", bin.display(), own.1.display());
    let run = || {
        restore(&path, &cluster)
            .args(["--database", "shop", "--replace", "--yes"])
            .env("PATH", &path_with)
    };
    let execute = format!("printf '%s\\n' \"$sql\" | '{}' \"$@\"", real.display());

    script("echo 'psql: error: connection lost' >&2; exit 2");
    let seen = run().fails(1);
    seen.says("connection lost").says("nothing was changed");
    compare::same_text(("damaged", &damaged), ("now", &cluster.dump_one("shop")));

    // Nobody answers any more, the server's sessions neither: then it is said that it is not known.
    script(&format!(
        "{execute}; rm -f '{}'; exit 2",
        bin.join("psql").display()
    ));
    let hidden = run().env("PGDATABASE", "postgres").run();
    assert_eq!(hidden.code(), Some(0), "{hidden}");
    compare::same_text(("wanted", &wanted), ("now", &cluster.dump_one("shop")));
    assert_eq!(kept(&cluster, "shop").len(), 1);

    let broken = format!(
        "{execute}; echo '#!/bin/sh\nexit 2' > '{}'; exit 2",
        bin.join("psql").display()
    );
    script(&broken);
    let seen = run().fails(1);
    seen.says("is not known").says("psql -l");
    assert_eq!(kept(&cluster, "shop").len(), 2);
}

/// Applications connect again as soon as they are disconnected.
#[test]
fn those_who_connect_again_at_once_do_not_stand_in_the_way() {
    let dir = Scratch::new();
    let (cluster, path) = company(&dir);
    let wanted = cluster.dump_one("shop");
    cluster.sql("shop", "create table more as select 1 as one");
    let line =
        "while psql -qXc 'select pg_sleep(60)' || [ ! -e stop ]; do [ ! -e stop ] || exit 0; done";
    let applications: Vec<_> = (0..4)
        .map(|_| {
            Program::sh(line)
                .on(&cluster)
                .env("PGDATABASE", "shop")
                .env("PGAPPNAME", "somebody")
                .in_dir(dir.path())
                .spawn()
        })
        .collect();
    let count = || {
        let sql = "select count(*) from pg_stat_activity where application_name = 'somebody' and datname = 'shop'";
        cluster.sql("postgres", sql)
    };
    wait_for("applications", || (count() == "4").then_some(()));
    let options = [
        "--database",
        "shop",
        "--replace",
        "--yes",
        "--force-disconnect",
    ];
    let seen = restore(&path, &cluster).args(options).run();
    fs::write(dir.join("stop"), "").unwrap();
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'somebody'";
    wait_for("the end of the applications", || {
        cluster.sql("postgres", end);
        (count() == "0").then_some(())
    });
    for application in applications {
        application.wait();
    }
    assert_eq!(seen.code(), Some(0), "{seen}");
    compare::same_text(("wanted", &wanted), ("now", &cluster.dump_one("shop")));
}

/// A dump is no script: what psql would do beside SQL is not done.
#[test]
fn commands_of_psql_are_not_carried_out() {
    let cluster = Cluster::start();
    cluster.sql("postgres", "create database shop");
    cluster.sql("shop", "create table t as select '\\! x' as t");
    let sql = String::from_utf8(cluster.dump_all::<&str>(&[])).unwrap();
    cluster.sql("postgres", "drop database shop");
    let dir = Scratch::new();
    let proof = dir.join("proof");
    for command in [
        format!("\\! touch {}", proof.display()),
        format!("\\o {}", proof.display()),
        format!("select 1 \\g {}", proof.display()),
        format!("\\connect `touch {}`", proof.display()),
        format!("copy t from stdin; \\! touch {}\n\\.", proof.display()),
    ] {
        let bad = sql.replace(
            "CREATE TABLE public.t",
            &format!("{command}\n;CREATE TABLE public.t"),
        );
        assert_ne!(bad, sql);
        let gz = dir.join("bad.sql.gz");
        Program::other("gzip")
            .stdin(bad)
            .stdout_file(&gz)
            .succeeds();
        let seen = restore(&gz, &cluster).fails(3);
        seen.says("which is not carried out");
        assert!(!proof.exists(), "{command}");
        assert_eq!(cluster.databases(), ["postgres"]);
    }
}

#[test]
fn two_restores_of_one_database_do_not_harm_each_other() {
    let dir = Scratch::new();
    let (cluster, path) = company(&dir);
    let wanted = cluster.dump_one("jupyterhub");
    let replace = [
        "--database",
        "jupyterhub",
        "--replace",
        "--yes",
        "--drop-old",
    ];
    for _ in 0..3 {
        let both = [0, 1].map(|_| restore(&path, &cluster).args(replace).spawn());
        let seen = both.map(e2e::Running::wait);
        // The later one may find that the name was taken meanwhile.
        assert!(
            seen.iter().any(|seen| seen.code() == Some(0)),
            "{} {}",
            seen[0],
            seen[1]
        );
        compare::same_text(
            ("wanted", &wanted),
            ("restored", &cluster.dump_one("jupyterhub")),
        );
        let left = cluster.databases();
        assert!(
            !left.iter().any(|name| name.starts_with("restoring_")),
            "{left:?}"
        );
    }
}

#[test]
fn a_standby_is_refused() {
    let dir = Scratch::new();
    let (_first, path) = company(&dir);
    let mut standby = Cluster::with(
        Version::debian(),
        &[],
        "wal_level = replica\nmax_wal_senders = 1\n",
    );
    let signal = standby.scratch().join("data/standby.signal");
    standby.stop();
    File::create(signal).unwrap();
    standby.go();
    restore(&path, &standby).fails(4).says("standby");
}
