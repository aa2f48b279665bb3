//! Other people's clients of the Blob service: what they wrote we restore, what we wrote they read.

use std::path::Path;

use e2e::{Azurite, Cluster, Container, Program, Scratch, backup, sample, tool};

/// Writes a file as a blob of some blocks, or reads a blob: size, MD5, SHA-256, the recorded MD5 and SHA-256.
const PYTHON: &str = "
import hashlib, sys
from azure.storage.blob import ContainerClient
url, what, name = sys.argv[1:4]
options = dict(max_single_put_size=1 << 16, max_block_size=1 << 18, max_single_get_size=1 << 18)
blob = ContainerClient.from_container_url(url, **options).get_blob_client(name)
if what == 'write':
    with open(sys.argv[4], 'rb') as source:
        blob.upload_blob(source, validate_content=True, metadata={'origin': 'python'})
else:
    content = blob.download_blob(validate_content=True, max_concurrency=4).readall()
    properties = blob.get_blob_properties()
    print(len(content), hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest(),
          properties.content_settings.content_md5, properties.metadata.get('sha256'))
";

fn python(container: &Container, args: &[&str]) -> Program {
    let url = format!("{}?{}", container.url(), container.token());
    Program::other("python3")
        .env("PYTHONPATH", tool::tools().join("clients"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["-c", PYTHON, &url])
        .args(args)
}

/// `name` is `:azureblob:CONTAINER/NAME` where it stands for a blob.
fn rclone(container: &Container, args: &[&str]) -> Program {
    let url = format!("{}?{}", container.url(), container.token());
    Program::other(tool::tools().join("clients/bin/rclone"))
        .args(["--config", "/dev/null", "--azureblob-no-check-container"])
        .args(["--azureblob-sas-url", &url])
        .args(args)
}

fn remote(container: &Container, name: &str) -> String {
    format!(":azureblob:{}/{name}", container.name())
}

/// Its digest as md5sum or sha256sum give it.
fn digest(program: &str, path: &Path) -> String {
    let seen = Program::other(program).arg(path).succeeds();
    seen.out().split(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn what_others_wrote_is_restored() {
    let cluster = Cluster::start();
    sample::company(&cluster);
    let dir = Scratch::new();
    let path = backup::dump(&cluster, dir.path());
    let text = backup::gunzip(&path);
    let sql = backup::divide(&text).0;
    let azurite = Azurite::lenient();
    let container = azurite.container();
    let file = path.display().to_string();

    let [by_python, by_copy, by_stream] =
        ["01", "02", "03"].map(|day| format!("postgresql_backup_202511{day}_020000.sql.gz"));
    python(&container, &["write", &by_python, &file]).succeeds();
    let to = |name: &str| remote(&container, name);
    rclone(&container, &["copyto", &file, &to(&by_copy)]).succeeds();
    let chunks = [
        "--azureblob-chunk-size",
        "1Mi",
        "--streaming-upload-cutoff",
        "0",
    ];
    let stream = rclone(&container, &["rcat", &to(&by_stream)]).args(chunks);
    stream.stdin_file(&path).succeeds();
    // rclone records the MD5 of a file that it copies.
    let md5 = rclone(&container, &["md5sum", &to(&by_copy)]).succeeds();
    assert!(md5.out().starts_with(&digest("md5sum", &path)), "{md5}");

    let ours = |program: &str, name: &str| {
        Program::new(program)
            .arg(format!("{}/{name}", container.url()))
            .env("AZURE_STORAGE_SAS_TOKEN", container.token())
            .on(&cluster)
    };
    for (number, name) in [by_python, by_copy, by_stream].iter().enumerate() {
        let seen = ours("backup-verify", name).succeeds();
        assert!(seen.out().contains("no SHA-256 was recorded"), "{seen}");
        let seen = ours("restore-stream", name).args(["--", "cat"]).succeeds();
        assert!(seen.stdout == sql, "{name}");
        let database = format!("restored_{number}");
        let restore = ours("restore-stream", name).args(["--database", "jupyterhub"]);
        restore.args(["--as", &database]).succeeds();
        assert_eq!(
            cluster.sql(&database, "select count(*) from users"),
            "20000"
        );
    }
}

#[test]
fn what_we_wrote_is_read_by_others() {
    let azurite = Azurite::lenient();
    let container = azurite.container();
    let dir = Scratch::new();
    // Three blocks, and a name that a URL cannot hold as it is.
    let name = "a b+c%20ü&=.bin";
    let path = dir.join("content");
    let command = format!("head -c 9000001 /dev/urandom > '{}'", path.display());
    Program::sh(&command).succeeds();
    let (md5, sha256) = (digest("md5sum", &path), digest("sha256sum", &path));
    let url = format!("{}/a%20b%2Bc%2520%C3%BC&=.bin", container.url());
    let put = Program::new("blob-put").args(["-", &url, "--raw"]);
    let put = put.env("AZURE_STORAGE_SAS_TOKEN", container.token());
    let seen = put.stdin_file(&path).succeeds();
    assert!(
        seen.out().ends_with(&format!("\t9000001\t{sha256}")),
        "{seen}"
    );

    // No MD5 of the whole is recorded: each block was checked by its own.
    let read = python(&container, &["read", name]).succeeds();
    let said = format!("9000001 {md5} {sha256} None {sha256}");
    assert_eq!(read.out(), said, "{read}");
    let from = remote(&container, name);
    let listed = rclone(&container, &["lsf", &remote(&container, "")]).succeeds();
    assert_eq!(listed.out(), name);
    let copy = dir.join("copy");
    let to = copy.display().to_string();
    rclone(&container, &["copyto", &from, &to]).succeeds();
    assert_eq!(digest("sha256sum", &copy), sha256);
    assert_eq!(digest("md5sum", &copy), md5);
    let sum = rclone(&container, &["md5sum", "--download", &from]).succeeds();
    assert!(sum.out().starts_with(&md5), "{sum}");
}
