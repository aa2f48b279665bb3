//! The main job, whole, on throwaway parts: `scripts/quickstart`.

use std::path::Path;
use std::process::{Command, ExitCode};

use chrono::{TimeDelta, Utc};
use e2e::postgres::SUPERUSER;
use e2e::{Azurite, Cluster, Container, Scratch, sample};
use sha2::{Digest, Sha256};

fn main() -> ExitCode {
    println!(
        "Everything here is made for this run, in temporary directories, and is gone at its end."
    );
    title(
        "A PostgreSQL cluster with data worth looking at, a directory, and a container in Azurite",
    );
    let first = Cluster::start();
    sample::company(&first);
    println!("{}", first.sql("postgres", OVERVIEW));
    let backups = Scratch::new();
    let stage = Stage {
        backups: backups.path(),
        container: &Azurite::shared().container_named("backups"),
    };
    stage.show(&first);
    match stage.story(&first) {
        Ok(()) => {
            println!("\nAll is well: both clusters are the same, and nothing is left running.");
            ExitCode::SUCCESS
        }
        Err(line) => {
            println!("\nThis failed: {line}");
            ExitCode::FAILURE
        }
    }
}

const OVERVIEW: &str = "select format('  %-45s %s', datname, pg_size_pretty(pg_database_size(datname)))
    from pg_database where not datistemplate order by datname;
    select '  roles: ' || string_agg(rolname, ', ' order by rolname) from pg_roles where rolname !~ '^pg_'";

fn title(words: &str) {
    println!("\n=== {words}");
}

/// Where the command lines store their backups.
struct Stage<'a> {
    backups: &'a Path,
    container: &'a Container,
}

impl Stage<'_> {
    /// What the command lines find in their environment.
    fn show(&self, cluster: &Cluster) {
        println!(
            "\n$ export PGHOST={} PGUSER={SUPERUSER}",
            cluster.socket().display()
        );
        println!("$ export BACKUPS={}", self.backups.display());
        println!("$ export STORE={}", self.container.url());
        println!("$ export AZURE_STORAGE_SAS_TOKEN=…");
    }

    /// The design's command lines.
    fn story(&self, first: &Cluster) -> Result<(), String> {
        title("A backup in a directory: dump, verify, prune");
        self.run(
            first,
            r#"pgdump-gz --dir "$BACKUPS" && backup-verify "$BACKUPS" --quota 50G && blob-prune "$BACKUPS" --keep-days 7 --keep-min 3"#,
        )?;
        self.run(first, r#"ls -l "$BACKUPS""#)?;
        self.run(
            first,
            r#"gunzip -c "$BACKUPS"/*.sql.gz | tail -n 8 | cut -c 1-120"#,
        )?;

        title("A backup in Azure: dumped and uploaded with no file between, pruned, verified");
        self.run(
            first,
            r#"pgdump-gz | blob-put - "$STORE/" && blob-prune "$STORE" --keep-days 30 --keep-min 7"#,
        )?;
        self.run(first, r#"backup-verify "$STORE" --max-age 36h"#)?;

        title("One database of the backup, under another name, reading only its part");
        self.run(first, r#"restore-stream "$STORE" --latest --list"#)?;
        self.run(
            first,
            r#"restore-stream "$STORE" --latest --database jupyterhub --as jupyterhub_check"#,
        )?;
        self.run(
            first,
            "psql -d jupyterhub_check -c 'select count(*) as users, max(last_activity) from users' && dropdb jupyterhub_check",
        )?;

        title("The whole backup, into a second cluster that is empty");
        let second = Cluster::start();
        println!("\n$ export PGHOST={}", second.socket().display());
        self.run(&second, r#"restore-stream "$STORE" --latest"#)?;

        title("The two clusters, compared by what pg_dump says of them");
        compare(first, &second)
    }

    /// Good for so long that nobody is warned.
    fn token(&self) -> String {
        let expires = Utc::now() + TimeDelta::days(90);
        self.container.sas().expires(expires).sign()
    }

    fn run(&self, cluster: &Cluster, line: &str) -> Result<(), String> {
        println!("\n$ {line}");
        let status = Command::new("sh")
            .args(["-c", line])
            .envs(cluster.env())
            .env("BACKUPS", self.backups)
            .env("STORE", self.container.url())
            .env("AZURE_STORAGE_SAS_TOKEN", self.token())
            .status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("{status}: {line}")),
            Err(error) => Err(format!("sh: {error}")),
        }
    }
}

/// Prints for the globals and each database how much they are and the SHA-256 of their dumps, in both.
fn compare(first: &Cluster, second: &Cluster) -> Result<(), String> {
    println!(
        "\n  {:<45} {:>12}  {:<16}  {:<16}",
        "", "bytes", "first", "second"
    );
    let mut different = Vec::new();
    let mut row = |name: &str, one: &[u8], other: &[u8]| {
        let (a, b) = (digest(one), digest(other));
        let verdict = if one == other {
            "the same"
        } else {
            "DIFFERENT"
        };
        println!("  {name:<45} {:>12}  {a}  {b}  {verdict}", one.len());
        if one != other {
            different.push(name.to_owned());
        }
    };
    let globals = |cluster: &Cluster| cluster.dump_all(&["--globals-only"]);
    row(
        "(roles, grants, tablespaces)",
        &globals(first),
        &globals(second),
    );
    for name in first.databases() {
        row(&name, &first.dump_one(&name), &second.dump_one(&name));
    }
    let all = |cluster: &Cluster| cluster.dump_all::<&str>(&[]);
    row("(pg_dumpall)", &all(first), &all(second));
    match different.is_empty() {
        true => Ok(()),
        false => Err(format!("the clusters differ: {}", different.join(", "))),
    }
}

fn digest(text: &[u8]) -> String {
    let digest = Sha256::digest(text);
    digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
