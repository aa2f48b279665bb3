//! The command lines of the CronJobs and runbooks, as they are, through `sh`.

use std::fs;

use e2e::{Azurite, Cluster, Program, Scratch, Volume, backup, compare, sample};

#[test]
fn the_lines_for_a_directory() {
    let cluster = Cluster::start();
    sample::company(&cluster);
    let scratch = Scratch::new();
    let backups = Volume::mount(scratch.join("backups"), "200m");
    let line = "pgdump-gz --dir /backups && backup-verify /backups && blob-prune /backups --keep-days 7 --keep-min 3"
        .replace("/backups", &backups.path().display().to_string());
    let seen = Program::sh(&line).on(&cluster).succeeds();
    let names = backup::names(backups.path());
    assert_eq!(names.len(), 1, "{seen}");
    assert!(seen.out().contains(&names[0]), "{seen}");

    // The next night, on a volume that is nearly full: the old one goes, and it is said.
    let old = "postgresql_backup_20250101_020000.sql.gz";
    fs::rename(backups.path().join(&names[0]), backups.path().join(old)).unwrap();
    fs::write(backups.path().join("other"), vec![0; 165 << 20]).unwrap();
    let line = "backup=$(pgdump-gz --dir /backups) && backup-verify \"$backup\" &&
        blob-prune /backups --keep-days 7 --keep-min 1 && backup-verify /backups"
        .replace("/backups", &backups.path().display().to_string());
    let seen = Program::sh(&line).on(&cluster).fails(3);
    seen.says("the store is nearly full");
    let names = backup::names(backups.path());
    assert!(names.len() == 1 && names[0] != old, "{names:?}\n{seen}");

    // kubectl exec … -- sh -c '…': plain tools always work.
    let line = "gunzip -c /backups/postgresql_backup_20251123_020000.sql.gz | psql -U postgres"
        .replace("/backups", &backups.path().display().to_string())
        .replace("postgresql_backup_20251123_020000.sql.gz", &names[0]);
    let second = Cluster::start();
    Program::sh(&line).on(&second).succeeds();
    compare::same_clusters(&cluster, &second);

    // A night on which the server is gone: nothing new, and nothing pruned.
    drop(second);
    let dir = backups.path().display();
    let line = format!(
        "pgdump-gz --wait 1s --dir {dir} && backup-verify {dir} && blob-prune {dir} --keep-days 7 --keep-min 3"
    );
    let seen = Program::sh(&line).env("PGHOST", "/nonexistent").fails(1);
    seen.says("pgdump-gz: ");
    assert_eq!(backup::names(backups.path()), names);
}

#[test]
fn the_lines_for_a_container() {
    let cluster = Cluster::start();
    sample::company(&cluster);
    let container = Azurite::shared().container();
    let ours = |program: Program| {
        program
            .env("STORE", container.url())
            .env("AZURE_STORAGE_SAS_TOKEN", container.token())
            .on(&cluster)
    };
    let line =
        r#"pgdump-gz | blob-put - "$STORE/" && blob-prune "$STORE" --keep-days 30 --keep-min 7"#;
    let seen = ours(Program::sh(line)).succeeds();
    let names = container.names();
    assert!(
        names.len() == 1 && backup::is_name(&names[0]),
        "{names:?}\n{seen}"
    );
    assert!(
        seen.out()
            .contains(&format!("{}/{}", container.url(), names[0])),
        "{seen}"
    );

    let line = r#"restore-stream "$STORE" --latest --database jupyterhub --as jupyterhub_check"#;
    ours(Program::sh(line)).succeeds();
    for database in ["jupyterhub", "jupyterhub_check"] {
        assert_eq!(cluster.sql(database, "select count(*) from users"), "20000");
    }
    let owner =
        "select pg_get_userbyid(datdba) from pg_database where datname = 'jupyterhub_check'";
    assert_eq!(cluster.sql("postgres", owner), "app_jupyterhub");
}

/// sh has no pipefail: the stream itself says that it is not whole.
#[test]
fn a_failed_dump_at_the_head_of_a_pipe_is_never_published() {
    let container = Azurite::shared().container();
    let dump = Program::sh(r#"pgdump-gz --wait 1s | blob-put - "$STORE/""#)
        .env("STORE", container.url())
        .env("AZURE_STORAGE_SAS_TOKEN", container.token());
    let seen = dump.run();
    assert!(matches!(seen.code(), Some(1 | 3)), "{seen}");
    seen.says("pgdump-gz: ").says("blob-put: ");
    assert!(container.names().is_empty(), "{seen}");
}
