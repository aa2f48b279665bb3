//! What is wrong with a token is said, and its signature never.

use chrono::{TimeDelta, Utc};
use e2e::{Azurite, Cluster, Container, Program, Running, Scratch, Seen, backup, proxy, sas};

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
