//! The commands of `docs/restore.md`, word for word, on a company's bad days.

use std::fs;
use std::path::Path;

use e2e::{Cluster, Program, Scratch, Seen, backup, compare, sample, tool};

const NIGHT: &str = "postgresql_backup_20251122_020000.sql.gz";
const LATEST: &str = "postgresql_backup_20251123_020000.sql.gz";

/// The commands of one section of the page.
pub(crate) fn commands(heading: &str) -> Vec<String> {
    let page = fs::read_to_string(tool::workspace().join("docs/restore.md")).unwrap();
    let section = page
        .split("\n## ")
        .find(|section| section.starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("no section {heading:?}"));
    let blocks = section.split("```sh\n").skip(1);
    let commands: Vec<String> = blocks
        .map(|block| block.split("```").next().unwrap_or_default().to_owned())
        .collect();
    assert!(!commands.is_empty(), "no commands in {heading:?}");
    commands
}

/// A company, its backups of two nights, and a directory to work in.
struct Company {
    cluster: Cluster,
    dir: Scratch,
}

impl Company {
    fn new() -> Self {
        let cluster = Cluster::start();
        sample::company(&cluster);
        let dir = Scratch::new();
        dir.make("store");
        let company = Self { cluster, dir };
        company.back_up(NIGHT);
        company
            .cluster
            .sql("jupyterhub", "delete from users where id = 1");
        company.back_up(LATEST);
        company
    }

    fn back_up(&self, name: &str) {
        let store = self.dir.join("store");
        let made = backup::dump(&self.cluster, &store);
        let sidecar = format!("{}.sha256", made.display());
        fs::remove_file(sidecar).unwrap();
        fs::rename(&made, store.join(name)).unwrap();
        Program::sh(&format!("sha256sum {name} > {name}.sha256"))
            .in_dir(&store)
            .succeeds();
    }

    fn run(&self, cluster: &Cluster, command: &str) -> Seen {
        Program::sh(&format!("set -eu\n{command}"))
            .on(cluster)
            .in_dir(self.dir.path())
            .env("STORE", self.dir.join("store"))
            .succeeds()
    }

    fn run_all(&self, cluster: &Cluster, heading: &str) -> Vec<Seen> {
        let commands = commands(heading).into_iter();
        commands
            .map(|command| self.run(cluster, &command))
            .collect()
    }
}

#[test]
fn one_table() {
    let company = Company::new();
    let cluster = &company.cluster;
    cluster.sql("jupyterhub", "truncate users cascade");
    let seen = company.run_all(cluster, "One table");
    assert!(seen[0].out().contains("19999"), "{}", seen[0]);
    let back = "insert into users select * from users_before on conflict do nothing";
    cluster.sql("jupyterhub", back);
    assert_eq!(users(cluster).trim(), "19999");
    let sql = "select count(*) from users";
    assert_eq!(cluster.sql("jupyterhub_users", sql).trim(), "19999");
    assert_eq!(seen[2].out().lines().count(), 5, "{}", seen[2]);
}

fn users(cluster: &Cluster) -> String {
    cluster.sql("jupyterhub", "select count(*) from users")
}

#[test]
fn which_backup() {
    let company = Company::new();
    let seen = company.run_all(&company.cluster, "Which backup");
    for words in [NIGHT, LATEST, "jupyterhub"] {
        assert!(seen[0].out().contains(words), "{}", seen[0]);
    }
}

#[test]
fn data_was_deleted_by_accident() {
    let company = Company::new();
    let cluster = &company.cluster;
    let before = cluster.dump_all::<&str>(&[]);
    let shop = cluster.sql(
        "postgres",
        "select oid from pg_database where datname = 'shop'",
    );
    cluster.sql("jupyterhub", "truncate users cascade");
    let seen = company.run_all(cluster, "Scenario 1");
    assert!(seen[0].out().contains("19999"), "{}", seen[0]);
    assert!(seen[1].out().contains("19999"), "{}", seen[1]);
    compare::same_text(
        ("before", &before),
        ("after", &cluster.dump_all::<&str>(&[])),
    );
    let now = cluster.sql(
        "postgres",
        "select oid from pg_database where datname = 'shop'",
    );
    assert_eq!(now, shop);
}

#[test]
fn a_database_is_corrupt() {
    let company = Company::new();
    let cluster = &company.cluster;
    let shop = cluster.dump_one("shop");
    cluster.sql("shop", "drop schema public cascade");
    company.run_all(cluster, "Scenario 2");
    compare::same_text(("before", &shop), ("after", &cluster.dump_one("shop")));
    let rescued = company.dir.join("rescued.sql.gz");
    Program::new("backup-verify").arg(&rescued).succeeds();
}

#[test]
fn the_cluster_is_gone() {
    let company = Company::new();
    let new = Cluster::start();
    company.run_all(&new, "Scenario 3");
    compare::same_clusters(&company.cluster, &new);
}

#[test]
fn a_breach() {
    let company = Company::new();
    let new = Cluster::start();
    company.run_all(&new, "Scenario 4");
    assert_eq!(users(&company.cluster), "19999");
    assert_eq!(users(&new), "20000");
    let stolen = "select count(*) from pg_authid where rolpassword is not null";
    assert_ne!(company.cluster.sql("postgres", stolen), "0");
    assert_eq!(new.sql("postgres", stolen), "0");
}

#[test]
fn a_whole_restore_is_not_possible() {
    let company = Company::new();
    let new = Cluster::start();
    let store = company.dir.join("store");
    Program::new("restore-stream")
        .arg(store)
        .args(["--latest", "--globals-only"])
        .on(&new)
        .succeeds();
    company.run_all(&new, "Where a whole restore");
    assert_eq!(users(&new), "19999");
    let rescued = "select count(*) from users";
    assert_eq!(new.sql("jupyterhub_rescued", rescued), "19999");
}

#[test]
fn without_our_programs() {
    let company = Company::new();
    let new = Cluster::start();
    company.run_all(&new, "Without our programs");
    compare::same_clusters(&company.cluster, &new);
}

/// What the page says of options and of what is said is what the program says.
#[test]
fn the_page_names_what_is_there() {
    let page = fs::read_to_string(tool::workspace().join("docs/restore.md")).unwrap();
    let help = Program::new("restore-stream")
        .arg("--help")
        .succeeds()
        .out();
    let options = page.split(['`', ' ', '\n', '[', ']']).filter(|word| {
        word.starts_with("--")
            && word.len() > 2
            && word[2..]
                .chars()
                .all(|c| c == '-' || c.is_ascii_lowercase())
    });
    // Those of pg_dump and other programs.
    let others = [
        "--all",
        "--analyze-only",
        "--clean",
        "--create",
        "--file",
        "--inserts",
        "--raw",
        "--restore-test",
        "--wal-only",
    ];
    for option in options.filter(|option| !others.contains(option)) {
        assert!(help.contains(option), "{option}");
    }
    assert!(Path::new(&tool::workspace().join("docs/runbook.md")).exists());
}
