//! `restore-backup.sh --at`, whole, on a cluster that archives its WAL.

use std::fs;

use e2e::{Program, tool};
use serde_json::json;

use super::api::path_of;
use super::pitr::archived;
use super::pod::text;
use super::recovery::{STATEFULSET, object_of, path, postgresql};
use super::site::{NAMESPACE, Site};

/// One database, then the whole cluster: what is done to the server here is what its controller does.
pub(crate) fn back_to_a_moment(site: &mut Site) {
    let pod = json!({"kind": "Pod", "apiVersion": "v1", "status": {"phase": "Running"},
        "metadata": {"name": "postgresql-primary-0", "namespace": NAMESPACE}});
    site.shared.change(|state| {
        for object in postgresql().iter().chain([&pod]) {
            state.objects.insert(path_of(object), object.clone());
        }
    });
    archived(&site.cluster, "create database shop");
    let shop = |sql: &str| site.cluster.sql("shop", sql);
    shop("create table deleted as select 7 as a");
    let moment = shop(
        "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US\"Z\"')",
    );
    shop("drop table deleted");
    archived(&site.cluster, "select pg_switch_wal()");
    let run = |site: &Site, moment: &str, words: &str| {
        site.with(Program::other(
            tool::workspace().join("k8s/restore-backup.sh"),
        ))
        .args(["--yes", "--at", moment])
        .args(words.split(' '))
    };
    let script = |site: &Site, moment: &str| run(site, moment, "--all");
    run(site, moment.trim(), "--database shop --as shop_before")
        .succeeds()
        .says("restored");
    assert_eq!(
        site.cluster.sql("shop_before", "select a from deleted"),
        "7"
    );
    // Nothing leads there: the server is not stopped.
    script(site, "2020-01-01 00:00Z")
        .fails(3)
        .says("the server was not touched");
    // As its hint says.
    let left = "postgresql-data-restored";
    site.shared
        .change(|state| state.objects.retain(|path, _| !path.contains(left)));

    let running = script(site, moment.trim()).spawn();
    let replicas = |wanted: u64| {
        let path = path("StatefulSet", STATEFULSET);
        site.shared.wait("its replicas", |state| {
            (state.objects[&path]["spec"]["replicas"] == wanted).then_some(())
        });
    };
    replicas(0);
    let claim = object_of(
        &site.shared,
        "PersistentVolumeClaim",
        "postgresql-data-restored",
    );
    let claim = text(&claim["metadata"]["name"]).to_owned();
    let filled = site.scratch().join(format!("volume-{claim}/pgdata"));
    site.cluster.stop();
    let (data, old) = (site.cluster.data(), site.cluster.scratch().join("old"));
    fs::rename(&data, &old).unwrap();
    // Its own user is the tests' server's here.
    Program::sh("cp -R \"$1\" \"$2\" && chown -R --reference=\"$3\" \"$2\" && chmod 700 \"$2\"")
        .args([
            "sh".as_ref(),
            filled.as_os_str(),
            data.as_os_str(),
            old.as_os_str(),
        ])
        .succeeds();
    site.shared
        .change(|state| state.objects.remove(&path("Pod", "postgresql-primary-0")));
    replicas(1);
    site.cluster.recover().unwrap();
    let seen = running.wait();
    assert_eq!(seen.code(), Some(0), "{seen}");
    seen.says("restored. ");
    assert!(
        seen.out()
            .contains("the last transaction that came back is of "),
        "{seen}"
    );
    assert_eq!(site.cluster.sql("shop", "select a from deleted"), "7");
    // The old claim is what it was.
    site.cluster.stop();
    fs::remove_dir_all(&data).unwrap();
    fs::rename(&old, &data).unwrap();
    site.cluster.go();
    let there = "select to_regclass('deleted') is null";
    assert_eq!(site.cluster.sql("shop", there), "t");
    // It goes on as before.
    archived(&site.cluster, "create table goes_on ()");
}
