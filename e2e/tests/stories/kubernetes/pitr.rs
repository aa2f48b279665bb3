//! The component `pitr`: a server archives its WAL by the programs that an init container copied, its jobs take base
//! backups and look at the archive, and what is in the store comes back. The programs need nothing of the place where
//! they run.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::id;
use std::thread;

use e2e::tls::Certificate;
use e2e::{Azurite, Cluster, Container, Program, Scratch, scratch, tool, wait_for};
use serde_json::Value;

use super::image::{FOR_POSTGRESQL, Image};
use super::manifests::{objects, render, render_with_lines};
use super::moment::back_to_a_moment;
use super::pod::{list, text};
use super::site::Site;

fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let mut found = objects
        .iter()
        .filter(|it| it["kind"] == kind && it["metadata"]["name"] == name);
    found.next().unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// The pod of PostgreSQL, as the overlay `local` has it with the component.
fn pod_of_postgresql() -> Value {
    let objects = objects(&render("local", &["pitr"]));
    object(&objects, "StatefulSet", "postgresql-primary")["spec"]["template"]["spec"].clone()
}

#[test]
fn the_server_s_pod_has_what_it_needs_and_may_start_without_it() {
    let pod = pod_of_postgresql();
    let [init] = list(&pod["initContainers"]) else {
        panic!("one: {pod}");
    };
    let version = concat!(":", env!("CARGO_PKG_VERSION"));
    let image = text(&init["image"]);
    assert!(image.ends_with(version), "{image}: what the jobs run");
    let [server] = list(&pod["containers"]) else {
        panic!("one: {pod}");
    };
    // Nothing of the backups keeps a database from starting.
    for entry in list(&server["env"]) {
        let from = &entry["valueFrom"];
        for reference in [&from["secretKeyRef"], &from["configMapKeyRef"]] {
            let ours = reference["name"] == "postgresql-backup-azure-secret"
                || reference["name"] == "postgresql-backup-settings";
            assert!(!ours || reference["optional"] == true, "{entry}");
        }
    }
    let volumes = list(&pod["volumes"]);
    let token = volumes.iter().find(|it| it["name"] == "backup-token");
    let token = &token.expect("a token")["secret"];
    assert_eq!(token["optional"], true);
    assert_eq!(token["items"][0]["key"], "sas-token-wal");
    // Neither what the image had before, nor libpq's variables, which would lead its own psql elsewhere.
    assert!(list(&server["env"]).iter().any(|it| it["name"] == "PGDATA"));
    assert!(server["envFrom"].is_null(), "{server}");
    for mount in list(&server["volumeMounts"])
        .iter()
        .chain(list(&init["volumeMounts"]))
    {
        assert!(
            volumes.iter().any(|it| it["name"] == mount["name"]),
            "{mount}"
        );
    }

    let objects = objects(&render("primary", &["pitr"]));
    let prune = object(&objects, "CronJob", "postgresql-backup-prune-azure").to_string();
    assert!(prune.contains("--keep-min 7 --wal-days 8"), "{prune}");
}

/// Its version and its room are those of the cluster, as the page says it: with a token or with an identity.
#[test]
fn the_recovery_test_is_of_the_cluster_s_own_version() {
    let page = tool::workspace().join("docs/kubernetes.md");
    let page = fs::read_to_string(page).unwrap();
    let after = page.split("### The monthly recovery test").nth(1).unwrap();
    let lines = after
        .split("```yaml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    for components in [
        &["pitr"][..],
        &["pitr", "workload-identity", "scoped-identities"],
    ] {
        let rendered = render_with_lines("primary", components, lines);
        let objects = objects(&rendered);
        let job = object(&objects, "CronJob", "postgresql-recovery-test");
        let pod = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
        assert_eq!(
            pod["containers"][0]["image"],
            "docker.io/library/postgres:16"
        );
        let volumes = list(&pod["volumes"]).iter();
        let of_work: Vec<_> = volumes.filter(|it| it["name"] == "work").collect();
        let [work] = of_work[..] else {
            panic!("one: {pod}");
        };
        let claim = &work["ephemeral"]["volumeClaimTemplate"]["spec"];
        assert_eq!(claim["resources"]["requests"]["storage"], "500Gi");
        assert_eq!(claim["accessModes"][0], "ReadWriteOnce");
    }
}

/// What the init container copies, run as the manifest has it.
fn copied(pod: &Value) -> Scratch {
    let programs = Scratch::new();
    // An emptyDir.
    fs::set_permissions(programs.path(), Permissions::from_mode(0o777)).expect("chmod");
    let image = Image::shared();
    let init = &pod["initContainers"][0];
    let mount = &init["volumeMounts"][0]["mountPath"];
    let words = list(&init["command"]).iter().map(text);
    image
        .container()
        .args(["--read-only", "--cap-drop=ALL"])
        .args(["--security-opt=no-new-privileges", "--memory=67108864"])
        .arg(format!("--user={}", init["securityContext"]["runAsUser"]))
        .arg(format!(
            "--volume={}:{}",
            programs.path().display(),
            text(mount)
        ))
        .arg(&image.id)
        .args(words)
        .succeeds();
    assert_eq!(scratch::names(programs.path()), FOR_POSTGRESQL);
    programs
}

/// The settings of the manifest's arguments, for `postgresql.conf`. `place` is what a shell of the server does before.
fn settings(pod: &Value, programs: &Path, place: &str) -> Vec<(String, String)> {
    let args = list(&pod["containers"][0]["args"]);
    let settings = args.chunks(2).map(|pair| {
        assert_eq!(pair[0], "-c");
        let (name, value) = text(&pair[1]).split_once('=').expect("a setting");
        let value = value.replace("/opt/backup", &programs.display().to_string());
        match name {
            "archive_command" => (name.to_owned(), format!("{place} {value}")),
            _ => (name.to_owned(), value),
        }
    });
    settings.collect()
}

/// What the container's environment is to a shell line of the server.
fn environment(container: &Container, token: &Path) -> String {
    let (url, token) = (container.url(), token.display());
    format!("export STORE={url}/ AZURE_STORAGE_SAS_TOKEN_FILE={token};")
}

pub(crate) fn archived(cluster: &Cluster, sql: &str) {
    cluster.sql("postgres", sql);
    cluster.sql("postgres", "select pg_switch_wal()");
    wait_for("the archiver", || {
        let status = scratch::names(cluster.data().join("pg_wal/archive_status"));
        (!status.iter().any(|name| name.ends_with(".ready"))).then_some(())
    });
}

#[test]
fn every_minute_is_in_the_store_and_comes_back() {
    let pod = pod_of_postgresql();
    let programs = copied(&pod);
    let mut site = Site::set_up_of(Image::shared(), &["pitr"]);
    // To create and to compare, and no more.
    let token = site.container.sas().permissions("rcw").sign();
    let token = programs.write("token", token);
    let place = environment(&site.container, &token);
    for (name, value) in settings(&pod, programs.path(), &place) {
        let value = value.replace('\'', "''");
        site.cluster
            .sql("postgres", &format!("alter system set {name} = '{value}'"));
    }
    // The tests' servers send nothing; and the base backup's checkpoint need not be spread over minutes here.
    for setting in ["max_wal_senders = 10", "checkpoint_completion_target = 0"] {
        site.cluster
            .sql("postgres", &format!("alter system set {setting}"));
    }
    site.cluster.stop();
    site.cluster.go();
    archived(&site.cluster, "create table t as select 1 as a");

    site.run("postgresql-backup-base", "base").with_code(0);
    archived(&site.cluster, "insert into t values (2)");
    let log = site.run("postgresql-backup-wal", "wal").with_code(0);
    assert!(log.contains("can be reached"), "{log}");
    // The nightly job looks at it too, and prunes it.
    site.run("postgresql-backup-to-azure", "dump").with_code(0);
    site.run("postgresql-backup-prune-azure", "prune")
        .with_code(0);

    // Elsewhere, by the other program that was copied.
    let names = site.container.names();
    let base = names.iter().find(|it| it.starts_with("postgresql_base_"));
    let base = site.container.read(base.expect("a base backup"));
    let home = Scratch::new();
    let data = home.make("data");
    Program::other("tar")
        .args(["-xz", "-C"])
        .arg(&data)
        .stdin(base)
        .succeeds();
    let reading = site.container.sas().permissions("rl").sign();
    let place = environment(&site.container, &programs.write("reading", reading));
    let restore = format!(
        "max_wal_senders = 10\narchive_mode = off\nrestore_command = '{place} {}/restore-stream \"$STORE\" --wal \"%f\" --to \"%p\" --ahead 2'\n",
        programs.path().display()
    );
    let mut restored = site.cluster.copied(&data, Some("recovery"), &restore);
    restored.recover().unwrap();
    assert_eq!(restored.sql("postgres", "select sum(a) from t"), "3");

    back_to_a_moment(&mut site);
    needs_nothing_of_the_userland(&site, &programs);
    a_random_moment_comes_back(&site, &programs, &place);

    // The token is revoked: the next look says so.
    fs::write(
        &token,
        "sv=2021-08-06&sr=c&sp=rcw&se=2099-01-01T00:00:00Z&sig=AAAA",
    )
    .unwrap();
    site.cluster.sql(
        "postgres",
        "insert into t values (3); select pg_switch_wal()",
    );
    wait_for("a failure", || {
        let failed = "select failed_count > 0 from pg_stat_archiver";
        (site.cluster.sql("postgres", failed) == "t").then_some(())
    });
    let log = site.run("postgresql-backup-wal", "behind");
    assert!(log.log.contains("its archiver failed last"), "{log:?}");
}

/// The job of the recovery test, by the programs that were copied, where PostgreSQL's own are.
fn a_random_moment_comes_back(site: &Site, programs: &Scratch, place: &str) {
    let objects = objects(&render("local", &["pitr"]));
    let job = object(&objects, "CronJob", "postgresql-recovery-test");
    let pod = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    let [container] = list(&pod["containers"]) else {
        panic!("one: {pod}");
    };
    let image = text(&container["image"]);
    assert!(image.contains("/postgres:"), "{image}: it has a server");
    let work = Scratch::new();
    let line = text(&list(&container["args"])[0])
        .replace("/opt/backup", &programs.path().display().to_string())
        .replace("/work", &work.path().display().to_string());
    // What a postgres image has on its PATH, and no more.
    let bin = site.cluster.version().bin().display();
    let seen = Program::sh(&format!("{place} PATH={bin}:/usr/bin:/bin; {line}")).succeeds();
    seen.prints("the measured RTO is ");
    assert_eq!(scratch::names(work.path()), [""; 0]);
}

/// A root with our programs in it and these files, and no more: no library, no shell, no /dev, no /proc.
fn root(programs: &Scratch, files: &[(&str, &[u8])]) -> Scratch {
    let root = Scratch::new();
    root.make("opt/backup");
    for name in FOR_POSTGRESQL {
        let to = root.join("opt/backup").join(name);
        // By another process, as in `Scratch::script`.
        Program::other("cp")
            .arg(programs.join(name))
            .arg(to)
            .succeeds();
    }
    for (path, bytes) in files {
        let path = Path::new(path);
        root.make(path.parent().expect("a directory"));
        root.write(path, bytes);
    }
    root
}

fn within(root: &Scratch, program: &str, token: &str) -> Program {
    Program::other("chroot")
        .arg(root.path())
        .arg(format!("/opt/backup/{program}"))
        .env("AZURE_STORAGE_SAS_TOKEN", token)
        .env("AZURE_STORAGE_ALLOW_HTTP", "1")
}

/// What the server did, done in places that have nothing.
fn needs_nothing_of_the_userland(site: &Site, programs: &Scratch) {
    let pg_wal = site.cluster.data().join("pg_wal");
    let done = scratch::names(pg_wal.join("archive_status"));
    let segment = done
        .iter()
        .filter_map(|name| name.strip_suffix(".done"))
        .find(|name| name.len() == 24)
        .expect("a segment");
    let control = fs::read(site.cluster.data().join("global/pg_control")).unwrap();
    let wal = fs::read(pg_wal.join(segment)).unwrap();
    let path = format!("pg_wal/{segment}");
    let token = site.container.token();
    let archive = |root: &Scratch, store: &str| {
        within(root, "blob-put", &token)
            .args(["--wal", &path, store, "--deadline", "2s"])
            .run()
    };
    let files = [("global/pg_control", &control[..]), (&path, &wal)];

    // Nothing at all.
    let nothing = root(programs, &files);
    let seen = archive(&nothing, &site.container.url());
    assert_eq!(seen.code(), Some(0), "{seen}");
    within(&nothing, "restore-stream", &token)
        .arg(site.container.url())
        .args(["--wal", segment, "--to", "/back"])
        .succeeds();
    assert!(fs::read(nothing.join("back")).unwrap() == wal);

    // Names, as a pod has them: one label, which a search domain completes.
    let by_name = site.container.url().replace("127.0.0.1", "azurite");
    let server = name_server();
    let resolv = format!(
        "nameserver {server}\nsearch database.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
    );
    let dns = root(
        programs,
        &[files[0], files[1], ("etc/resolv.conf", resolv.as_bytes())],
    );
    let seen = archive(&dns, &by_name);
    assert_eq!(seen.code(), Some(0), "{seen}");
    let hosts = root(
        programs,
        &[files[0], files[1], ("etc/hosts", b"127.0.0.1 azurite\n")],
    );
    let seen = archive(&hosts, &by_name);
    assert_eq!(seen.code(), Some(0), "{seen}");
    // A name that nobody knows is an error, and no crash: glibc's static programs end here.
    let seen = archive(&dns, &by_name.replace("azurite", "nobody"));
    assert_eq!(seen.code(), Some(1), "{seen}");
    seen.says("nobody");

    // Certificates, where Debian and Alpine have them; without any, Mozilla's are in the program.
    let certificate = Certificate::make();
    let azurite = Azurite::https(&certificate);
    let secure = azurite.container();
    let authority = fs::read(&certificate.authority).unwrap();
    let token = secure.token();
    let put = |files: &[(&str, &[u8])]| {
        let root = root(programs, files);
        within(&root, "blob-put", &token)
            .args(["--wal", &path, &secure.url(), "--deadline", "2s"])
            .run()
    };
    let seen = put(&files);
    assert_eq!(seen.code(), Some(1), "{seen}");
    seen.says("certificate");
    for place in ["etc/ssl/certs/ca-certificates.crt", "etc/ssl/cert.pem"] {
        let seen = put(&[files[0], files[1], (place, &authority)]);
        assert_eq!(seen.code(), Some(0), "{place}: {seen}");
    }
}

/// The address of a name server that knows `azurite.database.svc.cluster.local`, and no other name.
fn name_server() -> Ipv4Addr {
    const KNOWN: &[u8] = b"\x07azurite\x08database\x03svc\x07cluster\x05local\0";
    let [.., high, low] = id().to_be_bytes();
    let address = Ipv4Addr::new(127, 53, high, low.clamp(1, 254));
    let socket = UdpSocket::bind((address, 53)).expect("the port of a name server");
    // It ends with the tests.
    thread::spawn(move || {
        let mut packet = [0; 512];
        while let Ok((size, from)) = socket.recv_from(&mut packet) {
            let _ = socket.send_to(&answer(&packet[..size], KNOWN), from);
        }
    });
    address
}

/// An answer (RFC 1035, section 4): the address 127.0.0.1 for the name, nothing of its other types, no other name.
fn answer(query: &[u8], known: &[u8]) -> Vec<u8> {
    const IS_ANSWER: u8 = 0x80;
    const NO_SUCH_NAME: u8 = 3;
    const A: [u8; 2] = [0, 1];
    let question = &query[12..];
    let name = question.iter().position(|&byte| byte == 0).expect("a name") + 1;
    let (is_known, is_a) = (&question[..name] == known, question[name..name + 2] == A);
    let code = if is_known { 0 } else { NO_SUCH_NAME };
    let mut out = query[..2].to_vec();
    out.extend([
        IS_ANSWER | 1,
        IS_ANSWER | code,
        0,
        1,
        0,
        u8::from(is_known && is_a),
        0,
        0,
        0,
        0,
    ]);
    out.extend(&question[..name + 4]);
    if is_known && is_a {
        // The name at offset 12; A, IN, for a minute, four bytes.
        out.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    out
}
