//! What is wrong with a token is said, and its signature never; whatever is wrong with a command line, no secret of it
//! is said.

use chrono::{TimeDelta, Utc};
use e2e::{
    Azurite, Cluster, Container, PROGRAMS, Program, Running, Scratch, Seen, backup, proxy, sas,
};

/// A token that cannot be used, and the words that must be said about it.
struct Case {
    what: &'static str,
    url: String,
    token: String,
    says: &'static [&'static str],
}

fn cases(container: &Container, other: &Container) -> Vec<Case> {
    let (now, day) = (Utc::now(), TimeDelta::days(1));
    let case = |what, token, says| Case {
        what,
        url: container.url(),
        token,
        says,
    };
    let mut wrong_container = case("wrong container", container.token(), &["403"][..]);
    wrong_container.url = other.url();
    let mut no_container = case("no such container", container.token(), &["nowhere"]);
    no_container.url = container.url().replace(container.name(), "nowhere");
    no_container.token = sas::Sas::new("nowhere").sign();
    let mut no_network = case("no network", container.token(), &["127.0.0.1"]);
    no_network.url = container.url_at(proxy::closed_port());
    vec![
        case(
            "wrong token",
            container.sas().badly_signed().sign(),
            &["403"],
        ),
        case(
            "expired token",
            container.sas().expires(now - day).sign(),
            &["expired"],
        ),
        case(
            "not valid yet",
            container
                .sas()
                .starts(now + day)
                .expires(now + day * 2)
                .sign(),
            &["not valid"],
        ),
        case(
            "missing permission",
            container.sas().permissions("t").sign(),
            &["sp=t"],
        ),
        case(
            "https only",
            container.sas().protocol("https").sign(),
            &["https"],
        ),
        wrong_container,
        no_container,
        no_network,
    ]
}

fn hides_the_signature(seen: &Seen, token: &str) {
    for signature in sas::signatures(token) {
        assert!(signature.len() > 20);
        seen.hides(&signature);
    }
    seen.hides("panicked").hides("RUST_BACKTRACE");
}

/// The token in the environment, in a file, in the URL; all at once, as a host that does not answer is asked
/// for some seconds.
fn ways(program: &str, args: &[&str], token: &str, dir: &Scratch) -> Vec<Seen> {
    let in_url = args.iter().map(|arg| match arg.starts_with("http") {
        true => format!("{arg}?{token}"),
        false => (*arg).to_owned(),
    });
    // How long a host that never answers is asked.
    let deadline: &[&str] = match program {
        "restore-stream" => &[],
        _ => &["--deadline", "3s"],
    };
    let ours = || Program::new(program).args(deadline);
    let file = dir.write("token", format!("?{token}\n"));
    let ways = [
        ours().args(args).env("AZURE_STORAGE_SAS_TOKEN", token),
        ours().args(args).env("AZURE_STORAGE_SAS_TOKEN_FILE", file),
        ours().args(in_url),
    ];
    let running: Vec<Running> = ways.map(Program::spawn).into();
    running.into_iter().map(Running::wait).collect()
}

#[test]
fn each_fault_is_named_and_the_signature_is_not() {
    let cluster = Cluster::start();
    let dir = Scratch::new();
    let path = backup::dump(&cluster, dir.path());
    let azurite = Azurite::shared();
    let (container, other) = (azurite.container(), azurite.container());
    let file = path.display().to_string();
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    for case in cases(&container, &other) {
        let url = &case.url;
        let blob = format!("{url}/{name}");
        let lines: [(&str, Vec<&str>); 5] = [
            ("blob-put", vec![&file, &blob]),
            ("backup-verify", vec![&blob]),
            ("backup-verify", vec![url]),
            ("restore-stream", vec![&blob, "--list"]),
            ("blob-prune", vec![url, "--keep-days", "1"]),
        ];
        for (program, args) in lines {
            for seen in ways(program, &args, &case.token, &dir) {
                assert_eq!(seen.code(), Some(1), "{}\n{seen}", case.what);
                hides_the_signature(&seen, &case.token);
                for words in case.says {
                    assert!(
                        seen.err().contains(words),
                        "{}: {words:?}\n{seen}",
                        case.what
                    );
                }
            }
        }
    }
    assert!(container.names().is_empty() && other.names().is_empty());
}

#[test]
fn success_does_not_show_it_either() {
    let cluster = Cluster::start();
    let dir = Scratch::new();
    let path = backup::dump(&cluster, dir.path());
    let container = Azurite::shared().container();
    let token = container.token();
    let store = format!("{}?{token}", container.url());
    let blob = format!(
        "{}/{}?{token}",
        container.url(),
        path.file_name().unwrap().display()
    );
    let file = path.display().to_string();
    for (program, args) in [
        ("blob-put", vec![file.as_str(), &blob]),
        ("backup-verify", vec![&store]),
        ("backup-verify", vec![&blob, "--json"]),
        ("restore-stream", vec![&store, "--latest", "--list"]),
        ("blob-prune", vec![&store, "--keep-days", "1"]),
        ("blob-prune", vec![&store, "--keep-days", "1", "--json"]),
    ] {
        let seen = Program::new(program).args(args).succeeds();
        hides_the_signature(&seen, &token);
    }
}

const PASSWORD: &str = "Tr0ub4dor&3";

fn encoded(text: &str) -> String {
    let bytes = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    bytes.collect()
}

/// Neither the signature nor the password, nor a half of either, however they are written.
fn hides_all(seen: &Seen, token: &str) {
    hides_the_signature(seen, token);
    let [escaped, plain] = sas::signatures(token);
    let signatures = [
        plain.replace('+', " "),
        escaped.replace("%2B", "%2b").replace("%2F", "%2f"),
        encoded(&escaped),
        escaped.replace('%', "%%"),
        plain.trim_end_matches('=').to_owned(),
        plain[..16].to_owned(),
        plain[24..40].to_owned(),
    ];
    let passwords = [
        PASSWORD.to_owned(),
        encoded(PASSWORD),
        encoded(&encoded(PASSWORD)),
    ];
    for secret in signatures.iter().chain(&passwords) {
        seen.hides(secret);
    }
}

/// A token whose signature has something to encode in both of its halves.
fn token_to_encode() -> String {
    let container = Azurite::shared().container();
    let expiries = (1..1000).map(|hours| Utc::now() + TimeDelta::hours(hours));
    let mut tokens = expiries.map(|expires| container.sas().expires(expires).sign());
    let has = |token: &String| {
        let [_, plain] = sas::signatures(token);
        plain[1..16].contains('+') && plain[24..40].contains('/')
    };
    tokens.find(has).unwrap()
}

#[test]
fn wrong_usage_shows_no_secret() {
    let token = token_to_encode();
    let [escaped, plain] = sas::signatures(&token);
    let host = format!("http://127.0.0.1:{}/acc", proxy::closed_port());
    let url = format!("{host}/backups?{token}");
    let blob = format!("{host}/backups/postgresql_backup_20250101_000000.sql.gz?{token}");
    let conninfo = format!("host=h user=u password='{PASSWORD}' port=x");
    let uri = format!("postgresql://u:{PASSWORD}@h/db");
    let texts = [
        url.clone(),
        format!("\"{url}\""),
        format!("{url}\n{url}"),
        url.replace('?', "&"),
        url.replace("sig=", "SIG="),
        url.replace('%', "%25"),
        url.replace('%', "%%"),
        url.replace('&', "&amp;"),
        format!("https://x/?url={}", encoded(&url)),
        format!("https://x/?url={}", encoded(&encoded(&url))),
        token.clone(),
        format!("SharedAccessSignature={token};BlobEndpoint={host}"),
        format!("sig={escaped}"),
        format!("sig={plain}"),
        escaped.clone(),
        plain.clone(),
        plain.replace('+', " "),
        plain[..16].to_owned(),
        conninfo.clone(),
        conninfo.replace('\'', ""),
        uri.clone(),
        encoded(&uri),
        format!("{uri}?password={PASSWORD}"),
        format!("PGPASSWORD={PASSWORD}"),
        PASSWORD.to_owned(),
    ];
    let mut lines: Vec<Vec<String>> = Vec::new();
    for text in &texts {
        for option in [
            "--bogus",
            "--jobs",
            "--keep-days",
            "--now",
            "--before",
            "--deadline",
            "--tier",
            "--threads",
            "--level",
            "-Z",
        ] {
            lines.push(vec!["x".into(), option.into(), text.clone()]);
            lines.push(vec!["x".into(), format!("{option}={text}")]);
        }
        lines.push(vec![format!("--{text}")]);
        lines.push(vec![format!("-x{text}")]);
        lines.push(vec![text.clone(), text.clone(), text.clone(), text.clone()]);
        lines.push(vec![
            "--dbname".into(),
            text.clone(),
            text.clone(),
            text.clone(),
            "--latest".into(),
        ]);
        lines.push(vec![
            "x".into(),
            "--restore-test".into(),
            "--into".into(),
            text.clone(),
            text.clone(),
        ]);
        lines.push(vec![
            "x".into(),
            "--ping".into(),
            text.clone(),
            text.clone(),
        ]);
    }
    // A store of which no backup is named, and a backup of which one shall be chosen.
    let special = [
        ("restore-stream", vec![url.clone()]),
        ("restore-stream", vec![blob.clone(), "--latest".into()]),
        (
            "restore-stream",
            vec![url.replace('?', "&"), "--json".into()],
        ),
        (
            "backup-verify",
            vec![blob.clone(), "--all".into(), "--jobs=x".into()],
        ),
        (
            "backup-verify",
            vec![url.replace('?', "&"), "--json".into()],
        ),
        (
            "blob-prune",
            vec![
                blob.clone(),
                "--keep-days=1".into(),
                "--json".into(),
                "--deadline=1s".into(),
            ],
        ),
        (
            "blob-put",
            vec!["/dev/null".into(), url.replace('?', "&"), "--raw".into()],
        ),
        (
            "pgdump-gz",
            vec![
                "-d".into(),
                conninfo.replace('\'', "").replace("dor&3", "dor &3"),
            ],
        ),
        (
            "pgdump-gz",
            vec!["--wait=0s".into(), "-d".into(), uri.clone()],
        ),
        (
            "pgdump-gz",
            vec![
                "--".into(),
                "sh".into(),
                "-c".into(),
                format!("echo '{url}' '{uri}' >&2; exit 1"),
            ],
        ),
    ];
    let all = PROGRAMS
        .iter()
        .flat_map(|program| lines.iter().map(|line| (*program, line.clone())));
    let mut quoted = 0;
    for (program, args) in all.chain(special) {
        let seen = Program::new(program)
            .args(&args)
            .env("AZURE_STORAGE_SAS_TOKEN", &token)
            .env("PGPASSWORD", PASSWORD)
            .run();
        assert_ne!(seen.code(), Some(0), "{seen}");
        hides_all(&seen, &token);
        quoted += usize::from(seen.err().contains("***"));
    }
    // They do quote what they were given, and say what helps.
    assert!(quoted > 500, "{quoted}");
    let seen = Program::new("restore-stream").arg(&url).fails(2);
    seen.says(&format!(
        "'{host}/backups' is a store: which of its backups?"
    ));
    let seen = Program::new("blob-prune").arg("x").arg(&url).fails(2);
    seen.says(&format!(
        "unexpected argument '{}sig=***' found",
        url.split("sig=").next().unwrap_or_default()
    ));
}
