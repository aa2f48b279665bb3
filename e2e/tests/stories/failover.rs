//! Failover and failback, by the commands of `docs/runbook.md`, word for word, on real streaming replication: two
//! regions, and a kubectl that knows what a region is.

use std::fs;
use std::path::Path;

use e2e::postgres::REPLICATION;
use e2e::{Cluster, Program, Scratch, Seen, Version, WalStore, backup, sample, tool};

/// `kubectl --context REGION …`: what is run in a pod is run beside the region's server; a StatefulSet without replicas is
/// a server that was shut down.
const KUBECTL: &str = r#"
set -eu
test "$1" = --context
region=$2
shift 2
echo "$region: $*" >>'DIR/log'
case $1 in
exec)
    while [ "$1" != -- ]; do shift; done
    shift
    . "DIR/$region"
    exec "$@"
    ;;
scale)
    . "DIR/$region"
    kill -INT "$(head -n 1 "$DATA/postmaster.pid")"
    while [ -e "$DATA/postmaster.pid" ]; do sleep 0.1; done
    ;;
patch) ;;
*) exit 1 ;;
esac
"#;

/// `k8s/backup-now.sh --context REGION --keep NAME`, without a cluster to run a Job in.
const BACKUP_NOW: &str = r#"
set -eu
test "$1 $3" = '--context --keep'
. "DIR/$2"
mkdir -p "DIR/store/$4"
backup=$(pgdump-gz --dir "DIR/store/$4")
backup-verify "$backup"
"#;

/// The blocks of `sh` of a section, up to the next heading.
fn blocks(heading: &str) -> Vec<String> {
    let page = fs::read_to_string(tool::workspace().join("docs/runbook.md")).unwrap();
    let (_, section) = page.split_once(&format!("\n{heading}\n")).expect(heading);
    let section = section.split("\n#").next().unwrap_or_default();
    let blocks = section.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

/// Nothing is archived until somebody sends it.
const ARCHIVE: &str = "archive_mode = on\narchive_command = ''\nwal_keep_size = 1GB\n";

/// Two regions, and the store that both archive their WAL into.
struct Regions {
    primary: Cluster,
    dr: Cluster,
    store: WalStore,
    dir: Scratch,
}

impl Regions {
    fn new() -> Self {
        let settings = format!("{REPLICATION}{ARCHIVE}");
        let primary = Cluster::with(Version::debian(), &[], &settings);
        sample::company(&primary);
        primary.sql("jupyterhub", "create publication everybody for table users");
        let dr = Cluster::standby_of(&primary, "dr", "");
        let regions = Self {
            primary,
            dr,
            store: WalStore::container(),
            dir: Scratch::new(),
        };
        for (region, cluster) in [("primary", &regions.primary), ("dr", &regions.dr)] {
            let mut lines = format!("DATA='{}'\n", cluster.data().display());
            for (name, value) in regions.archive(cluster) {
                lines += &format!("export {name}='{value}'\n");
            }
            for (name, value) in cluster.env() {
                lines += &format!("export {name}='{}'\n", value.display());
            }
            regions.dir.write(format!("{region}-aks-cluster"), lines);
        }
        for directory in ["bin", "k8s"] {
            regions.dir.make(directory);
        }
        let here = |script: &str| script.replace("DIR", &regions.dir.path().display().to_string());
        regions.dir.script("bin/kubectl", &here(KUBECTL));
        regions.dir.script("k8s/backup-now.sh", &here(BACKUP_NOW));
        regions
    }

    /// What the environment of a server that archives has.
    fn archive(&self, cluster: &Cluster) -> [(&'static str, String); 3] {
        [
            ("PGDATA", cluster.data().display().to_string()),
            ("STORE", self.store.url()),
            (
                "AZURE_STORAGE_SAS_TOKEN_FILE",
                self.store.token().display().to_string(),
            ),
        ]
    }

    /// Ends the WAL segment of a primary, which its standby has then; gives its name, which the archive lacks.
    fn ended(&self, primary: &Cluster, standby: &Cluster) -> String {
        let name = primary.sql("postgres", "select pg_walfile_name(pg_switch_wal())");
        // The next one has begun.
        primary.sql("postgres", "checkpoint");
        primary.is_followed_by(standby);
        assert!(!self.store.names().contains(&name));
        name
    }

    /// A block of the runbook, typed at its top.
    fn typed(&self, block: &str) -> Seen {
        let bin = [self.dir.join("bin"), tool::programs()];
        Program::other("bash")
            .args(["-euo", "pipefail", "-c", block])
            .in_dir(self.dir.path())
            .env("PATH", tool::path_with(&bin))
            .succeeds()
    }

    /// What kubectl was told, since the last time.
    fn told(&self) -> String {
        let log = self.dir.join("log");
        let told = fs::read_to_string(&log).unwrap_or_default();
        let _ = fs::remove_file(log);
        told
    }

    /// The backup that was kept under a name: whether its server was a standby.
    fn kept(&self, name: &str) -> bool {
        let dir = self.dir.join("store").join(name);
        let [name] = &backup::names(&dir)[..] else {
            panic!("one backup in {}", dir.display())
        };
        let text = backup::gunzip(dir.join(name));
        let (_, index) = backup::divide(&text);
        assert!(index.contains("\"in_recovery\":"), "{index}");
        index.contains("\"in_recovery\":true")
    }
}

/// Makes a standby anew, as the page says, in the place of whatever the cluster was.
fn made_anew(
    standby: &mut Cluster,
    primary: &Cluster,
    slot: &str,
    archive: &[(&'static str, String); 3],
) {
    let heading = "### A standby is made anew";
    let [send, make, check] = &blocks(heading)[..] else {
        panic!("three blocks after {heading}")
    };
    standby.stop();
    let reach = format!(
        "host={} port=5432 user=postgres",
        primary.socket().display()
    );
    let run = |block: &str| {
        let ended = standby
            .as_owner(block)
            .envs(archive.clone())
            .env("PATH", tool::path_with(&[WalStore::programs()]))
            .env("PRIMARY", &reach)
            .env("SLOT", slot)
            .env_remove("PGHOST")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.success(), "{block}\n{said}");
        String::from_utf8(ended.stdout).unwrap()
    };
    run(send);
    run(make);
    standby.go();
    standby.receives(true);
    primary.is_followed_by(standby);
    let standby: &Cluster = standby;
    let checked = standby
        .as_owner(check)
        .env("PRIMARY", &reach)
        .output()
        .unwrap();
    let checked = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.contains("streaming|"), "{checked}");
    assert!(
        checked.contains(&format!("{slot}|t|reserved\n")),
        "{checked}"
    );
}

fn add(cluster: &Cluster, name: &str) {
    let sql =
        format!("insert into users (name, created, cookie_id) values ('{name}', now(), '{name}')");
    cluster.sql("jupyterhub", &sql);
}

fn has(cluster: &Cluster, name: &str) -> bool {
    let sql = format!("select count(*) from users where name = '{name}'");
    cluster.sql("jupyterhub", &sql) == "1"
}

const JOBS: [&str; 4] = [
    "postgresql-backup",
    "postgresql-backup-to-azure",
    "postgresql-backup-prune-azure",
    "postgresql-restore-test",
];

#[test]
fn over_and_back() {
    let mut regions = Regions::new();
    let [stop, wal, age, promote, jobs] = &blocks("## Failover")[..] else {
        panic!("five blocks")
    };
    add(&regions.primary, "the last one");
    let segment = regions.ended(&regions.primary, &regions.dr);
    regions.typed(stop);
    assert!(!regions.kept("before-failover"));
    let told = regions.told();
    for job in JOBS {
        let suspended = format!(
            "primary-aks-cluster: patch cronjob -n database {job} -p {{\"spec\":{{\"suspend\":true}}}}\n"
        );
        assert!(told.contains(&suspended), "{suspended}{told}");
    }
    regions.primary.stop();
    regions.dr.receives(false);
    regions.typed(wal);
    assert!(regions.store.names().contains(&segment));
    let seen = regions.typed(age);
    assert!(seen.out().contains('|'), "{seen}");
    // A dump of the standby now would be of its last moment.
    let store = regions.dir.make("standby");
    backup::pgdump_gz(&regions.dr)
        .arg("--dir")
        .arg(&store)
        .succeeds()
        .says("from a standby, which is not connected to its primary");
    assert_eq!(regions.typed(promote).out(), "t\nf");
    assert!(has(&regions.dr, "the last one"));
    regions.typed(jobs);
    assert!(!regions.kept("after-failover"));
    let told = regions.told();
    let on = "dr-aks-cluster: patch cronjob -n database postgresql-restore-test -p {\"spec\":{\"suspend\":false}}\n";
    assert!(told.contains(on), "{told}");
    add(&regions.dr, "on the other side");

    // Back: the old primary follows, then leads.
    let archive = regions.archive(&regions.primary);
    made_anew(&mut regions.primary, &regions.dr, "primary", &archive);
    assert!(has(&regions.primary, "on the other side"));
    let [stop, wal, promote] = &blocks("## Failback")[..] else {
        panic!("three blocks")
    };
    add(&regions.dr, "the last one there");
    let segment = regions.ended(&regions.dr, &regions.primary);
    regions.typed(stop);
    assert!(!regions.kept("before-failback"));
    regions.dr.stop();
    regions.typed(wal);
    assert!(regions.store.names().contains(&segment));
    let seen = regions.typed(promote);
    assert!(seen.out().starts_with("t\nf"), "{seen}");
    assert!(has(&regions.primary, "the last one there"));
    assert!(!regions.kept("after-failback"));
    let told = regions.told();
    for job in JOBS {
        let resumed = format!(
            "primary-aks-cluster: patch cronjob -n database {job} -p {{\"spec\":{{\"suspend\":false}}}}\n"
        );
        assert!(told.contains(&resumed), "{resumed}{told}");
    }
    let archive = regions.archive(&regions.dr);
    made_anew(&mut regions.dr, &regions.primary, "dr", &archive);
    add(&regions.primary, "home again");
    regions.primary.is_followed_by(&regions.dr);
    assert!(has(&regions.dr, "home again"));

    lost_and_restored(regions);
}

/// The primary is lost, and restored into a new cluster: nothing follows that but what is made anew.
fn lost_and_restored(mut regions: Regions) {
    regions.primary.stop();
    let new = Cluster::with(Version::debian(), &[], REPLICATION);
    restored(&new, &regions.dir.join("store/after-failback"));
    let identity = "select system_identifier from pg_control_system()";
    assert_ne!(
        new.sql("postgres", identity),
        regions.dr.sql("postgres", identity)
    );
    let publications = "select pubname from pg_publication";
    assert_eq!(new.sql("jupyterhub", publications), "everybody");
    assert!(has(&new, "the last one there"));
    let archive = regions.archive(&regions.dr);
    made_anew(&mut regions.dr, &new, "dr", &archive);
    add(&new, "in the new cluster");
    new.is_followed_by(&regions.dr);
    assert!(has(&regions.dr, "in the new cluster"));
    // What the page says to look at before a large restore.
    let blocks = blocks("## Restoring");
    let slots = blocks.last().expect("a block");
    let slots = slots.split(" -- ").nth(1).expect("a command");
    let seen = Program::sh(slots).on(&new).succeeds();
    assert!(seen.out().contains("dr"), "{seen}");
}

fn restored(cluster: &Cluster, store: &Path) {
    Program::new("restore-stream")
        .arg(store)
        .arg("--latest")
        .on(cluster)
        .succeeds();
}
