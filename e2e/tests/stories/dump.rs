//! `pgdump-gz` on real clusters: the same bytes as `pg_dumpall`, and a failure that is one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use e2e::{
    Cluster, Program, Running, Scratch, Version, Volume, backup, compare, sample, scratch, tool,
    wait_for,
};
use rustix::process::Signal;

#[test]
fn jobs_do_not_change_a_byte_of_the_sql() {
    let cluster = Cluster::start();
    sample::company(&cluster);
    let dump = |options: &[&str]| {
        let dump = backup::pgdump_gz(&cluster).args(options).succeeds().stdout;
        let dir = Scratch::new();
        backup::gunzip(dir.write("dump.gz", dump))
    };
    let one = dump(&[]);
    // Up to the index, which holds the times.
    let (wanted, _) = backup::divide(&one);
    for options in [["--jobs", "4"], ["--threads", "3"]] {
        assert!(wanted == backup::divide(&dump(&options)).0, "{options:?}");
    }
}

#[test]
fn patterns_exclude_what_pg_dumpall_excludes() {
    let cluster = Cluster::start();
    for name in [
        "test1", "Test1", "TEST", "a.b", "x$y", "tést", "a\"b", "a*b", "(x)",
    ] {
        let create = format!("create database {}", sample::identifier(name));
        cluster.sql("postgres", &create);
    }
    for patterns in [
        &["test*"][..],
        &["TEST*"],
        &["\"TEST\"*"],
        &["\"T\"*", "x$y"],
        &["\"a.b\""],
        &["t?st"],
        &["t?st?"],
        &["[tx]*"],
        &["\"a\"\"b\""],
        &["\"a*b\""],
        &["\"(x)\""],
        &["a*", "test1"],
        &["*"],
    ] {
        let options: Vec<String> = patterns
            .iter()
            .map(|pattern| format!("--exclude-database={pattern}"))
            .collect();
        let seen = backup::pgdump_gz(&cluster).args(&options).succeeds();
        let dir = Scratch::new();
        let text = backup::gunzip(dir.write("dump.gz", &seen.stdout));
        compare::same_text(
            (
                &format!("pg_dumpall {options:?}"),
                &cluster.dump_all(&options),
            ),
            ("pgdump-gz", backup::divide(&text).0),
        );
    }
}

#[test]
fn a_role_that_may_not_read_passwords_is_told_so() {
    let cluster = Cluster::start();
    cluster.sql("postgres", "create role limited login");
    let dir = Scratch::new();
    let limited = || backup::pgdump_gz(&cluster).env("PGUSER", "limited");
    let seen = limited().arg("--dir").arg(dir.path()).fails(1);
    seen.says("pg_authid").says("--no-role-passwords");
    assert!(backup::names(dir.path()).is_empty());
    let seen = limited()
        .args(["--no-role-passwords", "--dir"])
        .arg(dir.path())
        .succeeds();
    let text = backup::gunzip(seen.out());
    compare::same_text(
        ("pg_dumpall", &cluster.dump_all(&["--no-role-passwords"])),
        ("pgdump-gz", backup::divide(&text).0),
    );
}

/// Neither the server nor the clients' locale need to speak English for that.
#[test]
fn hints_do_not_depend_on_a_language() {
    let locale = "de_DE";
    let cluster = Cluster::speaking(locale);
    cluster.sql("postgres", "create role limited login");
    let locales = cluster.scratch().join("locales");
    let run = || {
        let program = backup::pgdump_gz(&cluster);
        program
            .env("LOCPATH", &locales)
            .env("LC_ALL", format!("{locale}.UTF-8"))
    };
    let seen = run().env("PGUSER", "limited").fails(1);
    seen.says("hint: ").says("--no-role-passwords");
    let seen = run().env("PGUSER", "nobody").fails(1);
    seen.says("»nobody« existiert nicht").says("hint: ");
    seen.says("PGUSER").says("PGPASSWORD");
    let seen = run().env("PGHOST", "/nonexistent").args(["--wait", "0s"]);
    let seen = seen.fails(1);
    seen.says("hint: name the server in PGHOST and PGPORT");
    // A dump command's own words are told apart from its warnings, and said once.
    cluster.sql(
        "postgres",
        "create table t (a int); create role r; grant r to limited",
    );
    cluster.sql(
        "postgres",
        "create database closed; revoke connect on database closed from public",
    );
    cluster.admit("local closed all reject\nlocal all all trust\n");
    let seen = run().fails(1);
    let error = "cannot dump database \"closed\": pg_dump: error: ";
    seen.says(error);
    assert_eq!(seen.err().matches("pg_dump: error: ").count(), 1, "{seen}");
}

/// A `PATH` in which one program comes first.
fn instead_of(name: &str, script: &str, cluster: &Cluster, dir: &Scratch) -> OsString {
    dir.script(name, script);
    let bins = [
        dir.path().to_owned(),
        tool::programs(),
        cluster.version().bin().to_owned(),
    ];
    tool::path_with(&bins)
}

#[test]
fn a_pg_dump_that_lies_is_not_believed() {
    let cluster = Cluster::start();
    sample::company(&cluster);
    let pg_dump = cluster.version().bin().join("pg_dump");
    let pg_dump = pg_dump.display();
    let dir = Scratch::new();
    let backups = dir.make("backups");
    for (what, script, says) in [
        (
            "cut, exit 0",
            format!("{pg_dump} \"$@\" | head -c 100000; exit 0"),
            "not whole",
        ),
        (
            "last words",
            format!(
                "case \"$*\" in *--version*) exec {pg_dump} \"$@\";; esac\n\
                 echo 'pg_dump: error: the dog ate it' >&2; exit 1"
            ),
            "the dog ate it",
        ),
        (
            "killed",
            format!(
                "case \"$*\" in *--version*) exec {pg_dump} \"$@\";; esac\n\
                 {pg_dump} \"$@\"; kill -KILL $$"
            ),
            "pg_dump",
        ),
    ] {
        let path = instead_of("pg_dump", &script, &cluster, &dir);
        let dump = backup::pgdump_gz(&cluster).env("PATH", &path);
        let seen = dump.arg("--dir").arg(&backups).fails(1);
        seen.says(says);
        assert!(seen.stdout.is_empty(), "{what}\n{seen}");
        assert!(backup::names(&backups).is_empty(), "{what}\n{seen}");
        // To a pipe: what came through must not verify.
        let seen = backup::pgdump_gz(&cluster).env("PATH", &path).fails(1);
        Program::new("backup-verify")
            .arg("-")
            .stdin(seen.stdout)
            .fails(3);
    }
}

#[test]
fn another_command_gets_the_same_guarantee() {
    let dir = Scratch::new();
    let run = |script: &str| {
        Program::new("pgdump-gz")
            .arg("--dir")
            .arg(dir.path())
            .args(["--", "sh", "-c", script])
    };
    for script in [
        "echo some; echo 'the last words' >&2; exit 7",
        "echo some; echo 'the last words' >&2; kill -KILL $$",
    ] {
        run(script).fails(1).says("the last words");
        assert!(backup::names(dir.path()).is_empty());
    }
    let seen = run("seq 100000").succeeds();
    let numbers = Program::other("seq").arg("100000").succeeds().stdout;
    assert!(backup::gunzip(seen.out()) == numbers);
    Program::new("backup-verify").arg(seen.out()).succeeds();
}

#[test]
fn a_client_older_than_the_server_is_refused_before_it_starts() {
    let versions = Version::installed();
    let (old, new) = (&versions[0], versions.last().unwrap());
    assert!(old < new, "two versions: run scripts/setup");
    let cluster = Cluster::of(new.clone());
    let dir = Scratch::new();
    let path = tool::path_with(&[tool::programs(), old.bin().to_owned()]);
    let seen = backup::pgdump_gz(&cluster)
        .env("PATH", path)
        .arg("--dir")
        .arg(dir.path())
        .fails(1);
    seen.says(&old.major().to_string())
        .says(&new.major().to_string());
    assert!(backup::names(dir.path()).is_empty());
    // The other way round is how one upgrades.
    let cluster = Cluster::of(old.clone());
    let path = tool::path_with(&[tool::programs(), new.bin().to_owned()]);
    backup::pgdump_gz(&cluster)
        .env("PATH", path)
        .arg("--dir")
        .arg(dir.path())
        .succeeds();
}

/// A session that locks a table, so that a dump waits for it.
fn locked(cluster: &Cluster) -> Running {
    cluster.sql("postgres", "create table held (a integer)");
    let lock = "begin; lock table held in access exclusive mode; select pg_sleep(1000)";
    let session = Program::other(cluster.version().bin().join("psql"))
        .args(["-XAtqc", lock])
        .on(cluster)
        .spawn();
    let held = "select 1 from pg_locks where relation = 'held'::regclass and granted";
    wait_for("the lock", || {
        (cluster.sql("postgres", held) == "1").then_some(())
    });
    session
}

/// Starts a dump and waits until it waits for the lock.
fn waiting_dump(cluster: &Cluster, dir: &Path) -> Running {
    let mut dump = backup::pgdump_gz(cluster).arg("--dir").arg(dir).spawn();
    let waiting = "select 1 from pg_locks where not granted limit 1";
    wait_for("a dump that waits", || {
        assert!(!dump.ended(), "it did not wait for the lock");
        (cluster.sql("postgres", waiting) == "1").then_some(())
    });
    dump
}

#[test]
fn a_signal_ends_it_and_leaves_nothing() {
    let cluster = Cluster::start();
    let _session = locked(&cluster);
    let dir = Scratch::new();
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let dump = waiting_dump(&cluster, dir.path());
        dump.signal(signal);
        let seen = dump.wait();
        assert_eq!(seen.code(), Some(code), "{seen}");
        assert!(
            !left(dir.path()).iter().any(|name| name.contains(".sql.gz")),
            "{seen}"
        );
        let sessions = "select count(*) from pg_stat_activity where application_name = 'pg_dump'";
        wait_for("its pg_dump to end", || {
            (cluster.sql("postgres", sessions) == "0").then_some(())
        });
    }
}

/// What is in a directory, without the lock's file.
fn left(dir: &Path) -> Vec<String> {
    let names = scratch::names(dir).into_iter();
    names.filter(|name| !name.contains("lock")).collect()
}

#[test]
fn a_second_run_is_refused() {
    let cluster = Cluster::start();
    let _session = locked(&cluster);
    let dir = Scratch::new();
    let first = waiting_dump(&cluster, dir.path());
    let seen = backup::pgdump_gz(&cluster)
        .arg("--dir")
        .arg(dir.path())
        .fails(4);
    seen.says(&dir.path().display().to_string());
    // Killed without a chance to tidy up, it is no obstacle for the next one.
    first.signal(Signal::KILL);
    assert_eq!(first.wait().signal(), Some(9));
    let terminate = "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'";
    cluster.sql("postgres", terminate);
    let path = backup::dump(&cluster, dir.path());
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    assert_eq!(left(dir.path()), [name.clone(), format!("{name}.sha256")]);
}

#[test]
fn a_lock_is_not_waited_for_longer_than_asked() {
    let cluster = Cluster::start();
    let _session = locked(&cluster);
    let dir = Scratch::new();
    let dump = backup::pgdump_gz(&cluster).args(["--lock-wait-timeout", "100", "--dir"]);
    dump.arg(dir.path()).fails(1).says("statement timeout");
    assert!(left(dir.path()).is_empty());
}

#[test]
fn a_full_disk_is_said_and_nothing_stays_on_it() {
    let cluster = Cluster::start();
    sample::bulk(&cluster, "postgres", "rows", 30);
    let dir = Scratch::new();
    let small = Volume::mount(dir.join("small"), "2m");
    let dump = backup::pgdump_gz(&cluster).arg("--dir");
    let seen = dump.arg(small.path()).fails(1);
    seen.says("No space left on device").says("hint: ");
    let names = scratch::names(small.path());
    assert!(
        !names.iter().any(|name| name.contains(".sql.gz")),
        "{names:?}"
    );
    // Standard output on a full disk, too.
    let seen = backup::pgdump_gz(&cluster)
        .stdout_file("/dev/full")
        .fails(1);
    seen.says("No space left on device");
}

#[test]
fn a_reader_that_goes_away_is_a_failure() {
    let cluster = Cluster::start();
    sample::bulk(&cluster, "postgres", "rows", 10);
    let line = "{ pgdump-gz; echo \"exit code $?\" >&2; } | head -c 1000 | wc -c";
    let seen = Program::sh(line).on(&cluster).succeeds();
    seen.says("exit code 1");
    assert_eq!(seen.out().trim(), "1000");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let dir = Scratch::new();
    let nowhere: PathBuf = dir.make("nowhere");
    let dump = Program::new("pgdump-gz").env("PGHOST", &nowhere);
    let seen = dump
        .args(["--wait", "1s", "--dir"])
        .arg(dir.path())
        .fails(1);
    seen.says(&nowhere.display().to_string());
    assert!(backup::names(dir.path()).is_empty());
}
