//! What a program runs does not learn its secrets: psql and pg_dump, a COMMAND, the server of the restore test.

use std::fs;
use std::path::{Path, PathBuf};

use e2e::{Azurite, Cluster, Program, Scratch, Seen, Version, backup, sample, tool};

const NAME: &str = "postgresql_backup_20250101_000000.sql.gz";
const TOKEN: &str = "se=2999-01-01&sr=c&sp=rl&sig=NotARealSignature00";
const PING: &str = "http://127.0.0.1:9/ping-uuid";
const PUSH: &str = "http://127.0.0.1:9/push-uuid";
/// What none of them may see.
const SECRET: [&str; 15] = [
    "NotARealSignature00",
    "ping-uuid",
    "push-uuid",
    "AZURE_STORAGE_SAS_TOKEN",
    "token-file",
    "ping-file",
    "push-file",
    "AZURE_FEDERATED_TOKEN_FILE",
    "account-file",
    "ACC0UNTT0KEN",
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_AUTHORITY_HOST",
    "AZURE_KUBERNETES_",
    "AZURE_STORAGE_AUTH",
];

/// With every secret that our programs take from the environment.
fn secretive(program: Program, dir: &Scratch) -> Program {
    program
        .env("AZURE_STORAGE_SAS_TOKEN", TOKEN)
        .env(
            "AZURE_STORAGE_SAS_TOKEN_FILE",
            dir.write("token-file", TOKEN),
        )
        .env(
            "AZURE_FEDERATED_TOKEN_FILE",
            dir.write("account-file", "a.ACC0UNTT0KEN.c"),
        )
        .env("AZURE_CLIENT_ID", "client")
        .env("AZURE_TENANT_ID", "tenant")
        .env("AZURE_AUTHORITY_HOST", "https://127.0.0.1:9")
        .env("AZURE_KUBERNETES_TOKEN_PROXY", "https://127.0.0.1:9")
        .env("AZURE_KUBERNETES_SNI_NAME", "proxy")
        .env("AZURE_KUBERNETES_CA_DATA", "none")
        .env("AZURE_STORAGE_AUTH", "sas")
        .env("BACKUP_VERIFY_PING_URL", PING)
        .env("BACKUP_VERIFY_PING_URL_FILE", dir.write("ping-file", PING))
        .env("BACKUP_VERIFY_PUSH_URL", PUSH)
        .env("BACKUP_VERIFY_PUSH_URL_FILE", dir.write("push-file", PUSH))
}

/// A directory for the front of the PATH, whose clients write down their environment and what runs them.
fn listening_clients(dir: &Scratch, heard: &Path) -> std::ffi::OsString {
    dir.make("clients");
    let clients = [
        "psql",
        "pg_dump",
        "pg_dumpall",
        "pg_isready",
        "pg_basebackup",
    ];
    for client in clients {
        let real = Cluster::start().version().bin().join(client);
        let script = format!(
            "{{ env; tr '\\0' '\\n' < /proc/$$/cmdline; }} > '{}'/{client}.$$\nexec '{}' \"$@\"",
            heard.display(),
            real.display()
        );
        dir.script(&format!("clients/{client}"), &script);
    }
    tool::path_with(&[dir.join("clients"), tool::programs()])
}

/// All that the clients have written down, which is at least of these.
fn heard(dir: &Path, clients: &[&str]) -> String {
    let names = e2e::scratch::names(dir);
    for client in clients {
        let begins = |name: &String| name.split('.').next() == Some(client);
        assert!(names.iter().any(begins), "{client} is not among {names:?}");
    }
    let texts = names.iter().map(|name| {
        let text = fs::read(dir.join(name)).unwrap();
        let text = String::from_utf8_lossy(&text);
        format!("--- {name}\n{text}")
    });
    let all = texts.collect();
    for name in names {
        fs::remove_file(dir.join(name)).unwrap();
    }
    all
}

fn holds_nothing(text: &str, seen: &Seen) {
    assert!(text.contains("PATH="), "an environment\n{text}\n{seen}");
    for secret in SECRET {
        assert!(!text.contains(secret), "{secret} in\n{text}\n{seen}");
    }
}

#[test]
fn clients_do_not_get_them() {
    let cluster = Cluster::start();
    sample::load(
        &cluster,
        "create database shop;\n\\connect shop\ncreate table t(a int);",
    );
    let dir = Scratch::new();
    let records = dir.make("heard");
    let path = listening_clients(&dir, &records);
    let run = |program: &str, args: &[&str], on: &Cluster| {
        let program = secretive(Program::new(program).on(on), &dir)
            .env("PATH", &path)
            // A store's URL in a variable of the user's own.
            .env("STORE", format!("https://acc/backups?{TOKEN}"))
            .env("PGPASSWORD", "none is needed");
        program.args(args).succeeds()
    };
    let store = dir.make("store");
    let store = store.display().to_string();
    let seen = run("pgdump-gz", &["--dir", &store, "--jobs", "2"], &cluster);
    let text = heard(&records, &["psql", "pg_dump", "pg_dumpall"]);
    holds_nothing(&text, &seen);
    assert!(
        text.contains("PGPASSWORD=none"),
        "what they need they get\n{text}"
    );
    let file = seen.out();
    let seen = run("restore-stream", &[&file], &Cluster::start());
    holds_nothing(&heard(&records, &["psql"]), &seen);
    let directory = cluster.socket().display().to_string();
    let into = format!("host={directory} user=postgres");
    let args = [&*file, "--restore-test", "--into", &into];
    let program = secretive(Program::new("backup-verify"), &dir).env("PATH", &path);
    let seen = program.args(args).succeeds();
    holds_nothing(&heard(&records, &["psql"]), &seen);
}

#[test]
fn nor_does_the_client_of_a_base_backup() {
    let (cluster, _) = crate::base_backup::archiving(Version::debian(), &[]);
    let dir = Scratch::new();
    let records = dir.make("heard");
    let path = listening_clients(&dir, &records);
    let base = secretive(crate::base_backup::base(&cluster), &dir);
    let store = dir.make("store").display().to_string();
    let seen = base.env("PATH", &path).args(["--dir", &store]).succeeds();
    holds_nothing(&heard(&records, &["psql", "pg_basebackup"]), &seen);
}

#[test]
fn a_command_does_not_get_them() {
    let dir = Scratch::new();
    let seen = secretive(Program::new("pgdump-gz"), &dir)
        .args(["--", "sh", "-c", "env | tee /dev/stderr"])
        .env("OF_ONE_S_OWN", "stays")
        .succeeds();
    holds_nothing(&seen.err(), &seen);
    seen.says("OF_ONE_S_OWN=stays");
    let file = dir.write(NAME, &seen.stdout);
    let seen = secretive(Program::new("restore-stream"), &dir)
        .arg(file)
        .args(["--", "sh", "-c", "cat >/dev/null; env"])
        .succeeds();
    holds_nothing(&seen.out(), &seen);
}

/// A backup whose SQL asks the server for its environment, and that of all others, and writes it down.
fn curious(dir: &Scratch, leak: &Path) -> PathBuf {
    fs::write(leak, "").unwrap();
    fs::set_permissions(leak, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let ask = "id -un; env; for it in /proc/[0-9]*/environ; do tr ''\\0'' ''\\n'' < $it; done 2>/dev/null; true";
    let dump = format!(
        "--\n-- PostgreSQL database cluster dump\n--\n\n--\n-- Database \"evil\" dump\n--\n\n--\n-- PostgreSQL database dump\n--\n\n\
         CREATE DATABASE evil WITH TEMPLATE = template0;\n\\connect evil\n\nCREATE TABLE t(a text);\n\
         COPY t FROM PROGRAM '{ask}' DELIMITER E'\\x01';\nCOPY t TO PROGRAM 'cat > {}' DELIMITER E'\\x01';\n\
         \n--\n-- PostgreSQL database dump complete\n--\n\n--\n-- PostgreSQL database cluster dump complete\n--\n\n",
        leak.display()
    );
    let seen = Program::new("pgdump-gz")
        .args(["--", "cat"])
        .stdin(dump)
        .succeeds();
    dir.write(NAME, &seen.stdout)
}

#[test]
fn the_restore_test_s_server_does_not_learn_them() {
    let dir = Scratch::new();
    let leak = dir.join("leak");
    let file = curious(&dir, &leak);
    let seen = secretive(Program::new("backup-verify"), &dir)
        .arg(file)
        .arg("--restore-test")
        .env("PGPASSWORD", "ping-uuid of another server")
        .env("HTTPS_PROXY", "http://me:push-uuid@127.0.0.1:9")
        .env("KEY_OF_ANOTHER", "token-file")
        .run();
    holds_nothing(&fs::read_to_string(&leak).unwrap(), &seen);
}

/// As the same user it may read the environment of what it was started by: but not of our programs.
#[test]
fn nor_does_one_that_runs_as_the_same_user() {
    let dir = Scratch::new();
    let leak = dir.join("leak");
    let file = curious(&dir, &leak);
    let work = dir.make("work");
    let mut line = format!(
        "exec backup-verify '{}' --restore-test --work-dir '{}'",
        file.display(),
        work.display()
    );
    if rustix::process::geteuid().is_root() {
        for program in ["backup-verify", "restore-stream"] {
            let copy = dir.join(program);
            fs::copy(tool::program(program), copy).unwrap();
        }
        // Not the account of other tests' servers.
        let nobody = 65534;
        std::os::unix::fs::chown(&work, Some(nobody), Some(nobody)).unwrap();
        line = format!(
            "PATH='{}':$PATH; export PATH; exec setpriv --reuid {nobody} --regid {nobody} --clear-groups sh -c \"{line}\"",
            dir.path().display()
        );
    }
    // Root's variables are not for the shell that starts it, either.
    let script = dir.script(
        "start",
        &format!("AZURE_STORAGE_SAS_TOKEN='{TOKEN}' BACKUP_VERIFY_PING_URL={PING}\nexport AZURE_STORAGE_SAS_TOKEN BACKUP_VERIFY_PING_URL\n{line}"),
    );
    let seen = Program::other(script).run();
    holds_nothing(&fs::read_to_string(&leak).unwrap(), &seen);
}

/// It reads the backup, and so it gets the token from backup-verify, wherever that has it from.
#[test]
fn restore_stream_gets_the_token_that_it_needs() {
    let cluster = Cluster::start();
    let dir = Scratch::new();
    let file = backup::dump(&cluster, dir.path());
    let container = Azurite::shared().container();
    container.write(NAME, &fs::read(file).unwrap());
    let blob = format!("{}/{NAME}", container.url());
    let token = container.token();
    let verify = || Program::new("backup-verify").arg("--restore-test");
    let ways = [
        verify().arg(&blob).env("AZURE_STORAGE_SAS_TOKEN", &token),
        verify()
            .arg(&blob)
            .env("AZURE_STORAGE_SAS_TOKEN_FILE", dir.write("token", &token)),
        verify().arg(format!("{blob}?{token}")),
    ];
    for way in ways {
        let seen = way.succeeds();
        assert!(seen.out().contains("the measured RTO"), "{seen}");
    }
}
