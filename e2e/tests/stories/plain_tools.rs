//! A backup is an ordinary gzip file: every tool that reads those reads it.

use e2e::{Cluster, Program, Scratch, backup, compare, sample};

const PYTHON: &str = "
import gzip, sys
with gzip.open(sys.argv[1]) as backup:
    while block := backup.read(1 << 20):
        sys.stdout.buffer.write(block)
";

#[test]
fn plain_tools_read_it() {
    let cluster = Cluster::start();
    sample::company(&cluster);
    let dir = Scratch::new();
    let path = backup::dump(&cluster, dir.path());
    let name = path.file_name().unwrap();

    for line in ["gunzip -t", "pigz -t", "bgzip -t"] {
        let mut words = line.split(' ');
        let seen = Program::other(words.next().unwrap())
            .args(words)
            .arg(&path)
            .succeeds();
        assert!(seen.stderr.is_empty(), "{seen}");
    }
    Program::other("sha256sum")
        .args(["--check", "--strict"])
        .arg(format!("{}.sha256", name.display()))
        .in_dir(dir.path())
        .succeeds();

    let text = backup::gunzip(&path);
    let other = |program: Program| program.arg(&path).succeeds().stdout;
    for (reader, read) in [
        ("pigz", other(Program::other("pigz").arg("-dc"))),
        ("bgzip", other(Program::other("bgzip").arg("-dc"))),
        (
            "Python",
            other(Program::other("python3").args(["-c", PYTHON])),
        ),
    ] {
        compare::same_text(("gunzip", &text), (reader, &read));
    }

    // A person sees what is in it.
    let tail = Program::sh(&format!("gunzip -c '{}' | tail -n 12", path.display())).succeeds();
    for words in ["jupyterhub", "Zeiterfassung", "server_version"] {
        assert!(tail.out().contains(words), "{words}\n{tail}");
    }
    assert!(
        tail.out()
            .lines()
            .all(|line| line.starts_with("--") || line.is_empty()),
        "{tail}"
    );
}

#[test]
fn gunzip_and_psql_restore_it() {
    let first = Cluster::start();
    sample::company(&first);
    let dir = Scratch::new();
    let path = backup::dump(&first, dir.path());
    let second = Cluster::start();
    Program::sh(&format!("gunzip -c '{}' | psql -Xq", path.display()))
        .on(&second)
        .succeeds();
    compare::same_clusters(&first, &second);
}
