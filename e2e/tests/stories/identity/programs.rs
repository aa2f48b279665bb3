//! Every program does all that it does, with one exchange each, and shows nothing.

use std::fs;

use e2e::{Cluster, PROGRAMS, Program, Version, backup, wait_for};

use super::{ASSERTION, Pod, shared};

#[test]
fn every_program_runs_without_a_key() {
    let pod = Pod::new();
    let cluster = Cluster::start();
    cluster.sql("postgres", "create table t as select 42 as a");
    let dump = backup::pgdump_gz(&cluster).succeeds().stdout;
    let (store, slash) = (pod.store(), format!("{}/", pod.store()));

    let put = Program::new("blob-put")
        .args(["-", &slash])
        .stdin(dump.clone());
    pod.succeeds_with_one_exchange(put).hides("expires");
    let names = pod.container.names();
    assert!(names.len() == 1 && backup::is_name(&names[0]), "{names:?}");
    assert!(pod.container.read(&names[0]) == dump);
    // The name is taken: it may read, so it says so before it reads anything.
    let again = format!("{slash}{}", names[0]);
    let put = Program::new("blob-put").args(["-", &again]);
    pod.run(put.stdin(dump)).fails(4).says("is there already");

    // What belongs to a SAS token is not there: no line, and no metric, not even the last one's.
    let file = pod.scratch.join("backup.prom");
    let family = "postgresql_backup_token_expiry_timestamp_seconds";
    let stale = format!("{family}{{store=\"{store}\"}} 1\n");
    fs::write(&file, stale).unwrap();
    let path = file.display().to_string();
    let verify =
        Program::new("backup-verify").args([&store, "--metrics", &path, "--warn-expiry=99d"]);
    let seen = pod.succeeds_with_one_exchange(verify);
    assert!(!seen.out().contains("token"), "{seen}");
    let metrics = fs::read_to_string(&file).unwrap();
    assert!(
        metrics.contains("stored_backups") && !metrics.contains(family),
        "{metrics}"
    );
    let blob = format!("{store}/{}", names[0]);
    pod.succeeds_with_one_exchange(Program::new("backup-verify").arg(&blob));
    let all = Program::new("backup-verify").args([&store, "--all", "--json"]);
    let seen = pod.succeeds_with_one_exchange(all);
    assert!(!seen.out().contains("token"), "{seen}");

    let list = Program::new("restore-stream").args([&store, "--latest", "--list"]);
    pod.succeeds_with_one_exchange(list);
    let second = Cluster::start();
    let restore = Program::new("restore-stream").args([&store, "--latest"]);
    pod.succeeds_with_one_exchange(restore.on(&second));
    assert_eq!(second.sql("postgres", "select a from t"), "42");
    // A child that needs the store too gets the identity.
    let test = Program::new("backup-verify").args([&store, "--restore-test"]);
    let seen = pod.run(test).succeeds();
    pod.hides_all(&seen);

    pod.fill(3);
    let prune = Program::new("blob-prune").args([&store, "--keep-days", "30", "--keep-min", "1"]);
    pod.succeeds_with_one_exchange(prune);
    assert_eq!(pod.container.names(), names);
    // In one batch, each part of which carried the token.
    let path = format!("/{}?", pod.container.name());
    let azurite = &shared().azurite;
    wait_for("a line in Azurite's log", || {
        (azurite.answered(&["POST", &path, "comp=batch", " 202 "]) == 1).then_some(())
    });
    let one = format!("/{}/", pod.container.name());
    assert_eq!(azurite.answered(&["\"DELETE ", &one]), 0);
}

#[test]
fn wrong_usage_shows_no_token() {
    let pod = Pod::new();
    let issued = {
        pod.program("backup-verify").arg(pod.store()).fails(3);
        pod.entra.issued().remove(0)
    };
    for token in [ASSERTION, &issued] {
        for text in [
            token.to_owned(),
            format!("Bearer {token}"),
            format!("https://acc.blob.core.windows.net/backups?token={token}"),
            format!("'{token}'"),
        ] {
            for program in PROGRAMS {
                for line in [
                    vec![text.clone(), "--bogus".into()],
                    vec!["x".into(), format!("--deadline={text}")],
                    vec![format!("--{text}")],
                ] {
                    let seen = pod.program(program).args(&line).run();
                    assert_ne!(seen.code(), Some(0), "{seen}");
                    pod.hides_all(&seen);
                }
            }
        }
    }
}

#[test]
fn wal_is_archived_and_restored_without_a_key() {
    let pod = Pod::new();
    let cluster = Cluster::with(Version::debian(), &[], "wal_keep_size = 1GB");
    let segment = cluster.sql("postgres", "select pg_walfile_name(pg_switch_wal())");
    let path = cluster.data().join("pg_wal").join(&segment);
    let (store, slash) = (pod.store(), format!("{}/", pod.store()));
    let archive = || Program::new("blob-put").arg("--wal").arg(&path).arg(&slash);
    pod.succeeds_with_one_exchange(archive());
    // The same again is compared.
    pod.succeeds_with_one_exchange(archive());
    let system = "select system_identifier from pg_control_system()";
    let system = cluster.sql("postgres", system);
    let restore = |name: &str| {
        let line = [&store, "--system", &system, "--wal", name, "--to", "copy"];
        let program = Program::new("restore-stream").args(line);
        program.in_dir(pod.scratch.path())
    };
    pod.succeeds_with_one_exchange(restore(&segment));
    let copy = pod.scratch.join("copy");
    assert!(fs::read(copy).unwrap() == fs::read(&path).unwrap());
    // The end of the archive.
    pod.run(restore("0000000100000000000000FF")).fails(1);
    // What cannot be known is not the end.
    pod.entra.fault(
        0,
        scripted_service::EntraFault::Refuse(401, "invalid_client", 70_021),
    );
    pod.hides_all(&pod.run(restore(&segment)).fails(201));
}
