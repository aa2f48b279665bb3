//! The image, built once from the sources that are tested, on a base that mmdebstrap makes; and once for arm64.

use std::env;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use e2e::{PROGRAMS, Program, Scratch, tool};

/// A name in podman's storage that no other copy of the sources has: their tests may run at the same time.
fn tag(of: &str) -> String {
    let mut hasher = DefaultHasher::new();
    tool::workspace().hash(&mut hasher);
    format!("localhost/postgresql-backup:{of}-{:016x}", hasher.finish())
}

/// Without cgroups that systemd made, and where the limit of open files cannot be raised.
const CONTAINERS_CONF: &str = r#"
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
"#;

/// An image, by its ID.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) id: String,
    /// What its tag says, and what `images/build` is told.
    name: &'static str,
    options: &'static [&'static str],
    /// The configuration of podman and buildah, and the programs.
    scratch: Scratch,
}

impl Image {
    /// The one that all tests run.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Image> = OnceLock::new();
        SHARED.get_or_init(|| Self::new("e2e", &[], HERE))
    }

    /// The one for arm64, whatever this machine is.
    pub(crate) fn arm64() -> &'static Self {
        static ARM64: OnceLock<Image> = OnceLock::new();
        ARM64.get_or_init(|| Self::new("arm64", &["--platform", "linux/arm64"], "arm64"))
    }

    fn new(name: &'static str, options: &'static [&'static str], arch: &str) -> Self {
        let scratch = Scratch::new();
        scratch.write("containers.conf", CONTAINERS_CONF);
        compile(arch, &scratch.make("programs"));
        let mut image = Self {
            id: String::new(),
            name,
            options,
            scratch,
        };
        let before = image
            .tool("podman")
            .args(["image", "inspect", "--format", "{{.Id}}", &tag(name)])
            .run()
            .out();
        image.id = image.build("buildah", &[]);
        if !before.is_empty() && before != image.id {
            // That of an earlier run, which has no name any more. Not by force: that stops its containers.
            image.tool("podman").args(["rmi", &before]).run();
        }
        image
    }

    /// Builds it with podman or buildah, and gives its ID.
    fn build(&self, with: &str, options: &[&str]) -> String {
        // Of builds at the same time, one may find the other's image in its history: another ID.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let programs = self.scratch.join("programs");
        let seen = self
            .tool(tool::workspace().join("images/build"))
            .args([
                "--with",
                with,
                "--base",
                "mmdebstrap",
                "--tag",
                &tag(self.name),
                "--programs",
            ])
            .arg(programs)
            .args(self.options)
            .args(options)
            .env("BUILDAH_ISOLATION", "chroot")
            .succeeds();
        seen.out()
    }

    /// What `podman image inspect` says of it.
    pub(crate) fn inspect(&self, format: &str) -> String {
        let seen = self
            .tool("podman")
            .args(["image", "inspect", "--format", format, &self.id])
            .succeeds();
        seen.out()
    }

    /// podman, buildah, or what runs them.
    pub(crate) fn tool(&self, program: impl AsRef<Path>) -> Program {
        Program::other(program.as_ref())
            .env("CONTAINERS_CONF", self.scratch.join("containers.conf"))
    }

    /// The environment that podman needs.
    pub(crate) fn env(&self) -> (&'static str, std::path::PathBuf) {
        ("CONTAINERS_CONF", self.scratch.join("containers.conf"))
    }

    /// `podman run`: a container that reaches nothing, and is gone when it has ended. Options and the image come next.
    pub(crate) fn container(&self) -> Program {
        self.tool("podman").args(["run", "--rm", "--network=none"])
    }

    /// Runs a shell line in it, as it is without a manifest.
    pub(crate) fn sh(&self, line: &str) -> e2e::Seen {
        self.container()
            .args(["--read-only", "--cap-drop=ALL"])
            .args([self.id.as_str(), "sh", "-c", line])
            .run()
    }
}

/// This machine, as Debian calls it.
const HERE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "amd64"
};

/// The image's programs, compiled from the sources that the tested ones are from. `scripts/test` did so before.
fn compile(arch: &str, into: &Path) {
    let compile = Program::other(tool::workspace().join("images/compile"));
    // What cargo tells a test of its crate makes it compile anew what was compiled outside of one.
    env::vars()
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        .fold(compile, |compile, name| compile.without_env(&name))
        .args(["--profile", "quick", arch])
        .arg(into)
        .deadline(Duration::from_secs(900))
        .succeeds();
}

#[test]
fn it_is_small_and_has_what_it_needs_and_nothing_else() {
    is_small_and_has_what_it_needs_and_nothing_else(Image::shared());
}

pub(crate) fn is_small_and_has_what_it_needs_and_nothing_else(image: &Image) {
    for name in PROGRAMS {
        let seen = image.sh(&format!("{name} --help"));
        assert_eq!(seen.code(), Some(0), "{seen}");
        let seen = image.sh(&format!(
            "cd /usr/local/share && grep -q restore-test bash-completion/completions/backup-verify \
             && test -s bash-completion/completions/{name} && test -s zsh/site-functions/_{name} \
             && test -s fish/vendor_completions.d/{name}.fish"
        ));
        assert_eq!(seen.code(), Some(0), "{name}: {seen}");
    }
    for client in ["psql", "pg_dump", "pg_dumpall", "pg_basebackup"] {
        let seen = image.sh(&format!("{client} --version"));
        assert!(seen.out().contains("(PostgreSQL) 17."), "{seen}");
    }
    let seen = image.sh(
        "set -e; id -u; ls -lh /backups; du -sh /backups; df -h /backups; tail -n 1 /etc/passwd
         date -u; TZ=Europe/Berlin date +%Z; printf x | gzip | gunzip -c
         test -s /etc/ssl/certs/ca-certificates.crt; test \"$PATH\" = /usr/local/bin:/usr/bin",
    );
    assert_eq!(seen.code(), Some(0), "{seen}");
    assert!(seen.out().starts_with("10001\n"), "not root\n{seen}");
    assert!(seen.out().contains("\nCE"), "a time zone\n{seen}");

    let seen = image.sh("find / -xdev \\( -name 'perl*' -o -name 'python*' -o -name 'apt*' -o -name dpkg -o -name 'pip*' \\) -type f; \
        find / -xdev \\( -perm -4000 -o -perm -2000 \\) -type f; for it in perl python3 apt dpkg curl wget; do command -v $it; done; true");
    assert_eq!(seen.out(), "", "what does not belong there");

    let found = image.sh(
        "find / -xdev \\( -path /proc -o -path /sys -o -path /dev \\) -prune -o ! -type d -print",
    );
    let strange: Vec<_> = found
        .out()
        .lines()
        .filter(|path| !belongs(path))
        .map(str::to_owned)
        .collect();
    assert_eq!(strange, Vec::<String>::new(), "what is not known");
    // Applets that are not linked cannot be asked for.
    let seen =
        image.sh("test ! -e /usr/bin/busybox && ! wget --help && ! sh -c 'exec dpkg --help'");
    assert_eq!(seen.code(), Some(0), "{seen}");

    // Our own programs are of a quick build here, which is no measure.
    let size: u64 = image.inspect("{{.Size}}").parse().expect("a number");
    let ours = image.sh("cat /usr/local/bin/* | wc -c").out();
    let ours: u64 = ours.trim().parse().expect("a number");
    assert!(
        ours > 1_000_000 && size - ours < 24_000_000,
        "{size} bytes, {ours} of them ours"
    );
}

/// Whether a file is one of those that the image is to have (or that podman puts there).
fn belongs(path: &str) -> bool {
    const CLIENTS: [&str; 5] = [
        "psql",
        "pg_dump",
        "pg_dumpall",
        "pg_basebackup",
        "pg_isready",
    ];
    let (directory, name) = path.rsplit_once('/').expect("a path");
    let under = |root: &str| path.starts_with(&format!("{root}/"));
    match directory {
        "" => ["bin", "lib", "lib64", "sbin"].contains(&name),
        "/usr/local/bin" => PROGRAMS.contains(&name),
        "/opt/backup" => FOR_POSTGRESQL.contains(&name),
        "/usr/local/share/bash-completion/completions" => PROGRAMS.contains(&name),
        "/usr/local/share/zsh/site-functions" => name
            .strip_prefix('_')
            .is_some_and(|it| PROGRAMS.contains(&it)),
        "/usr/local/share/fish/vendor_completions.d" => name
            .strip_suffix(".fish")
            .is_some_and(|it| PROGRAMS.contains(&it)),
        // The shell, and links to it.
        "/usr/bin" => CLIENTS.contains(&name) || APPLETS.contains(&name),
        "/etc" => {
            ["group", "passwd", "nsswitch.conf", "os-release"].contains(&name)
                || OF_PODMAN.contains(&name)
        }
        "/run" => name == ".containerenv",
        "/var/lib/dpkg/status.d" => true,
        _ if under("/usr/share/doc") => name == "copyright",
        _ if under("/usr/lib") && name.contains(".so") => true,
        "/usr/lib64" => name.starts_with("ld-linux"),
        _ => [
            "/etc/ssl",
            "/usr/lib/ssl",
            "/usr/lib/locale/C.utf8",
            "/usr/lib/terminfo",
            "/usr/share/terminfo",
            "/usr/share/zoneinfo",
        ]
        .into_iter()
        .any(under),
    }
}

/// What an init container copies into PostgreSQL's own container.
pub(crate) const FOR_POSTGRESQL: [&str; 4] =
    ["backup-verify", "blob-put", "pgdump-gz", "restore-stream"];

const OF_PODMAN: [&str; 4] = ["hosts", "hostname", "resolv.conf", "mtab"];

const APPLETS: [&str; 65] = [
    "[",
    "ash",
    "awk",
    "basename",
    "cat",
    "cp",
    "cut",
    "date",
    "dd",
    "df",
    "dirname",
    "du",
    "echo",
    "env",
    "expr",
    "false",
    "find",
    "free",
    "grep",
    "gunzip",
    "gzip",
    "head",
    "hostname",
    "id",
    "kill",
    "less",
    "ln",
    "ls",
    "md5sum",
    "mkdir",
    "mktemp",
    "more",
    "mv",
    "nslookup",
    "printf",
    "ps",
    "pwd",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "sh",
    "sha256sum",
    "sleep",
    "sort",
    "stat",
    "sync",
    "tail",
    "tar",
    "tee",
    "test",
    "timeout",
    "top",
    "touch",
    "tr",
    "true",
    "tty",
    "uname",
    "uniq",
    "vi",
    "wc",
    "which",
    "whoami",
    "xargs",
    "zcat",
];

#[test]
fn two_builds_give_the_same_image() {
    let image = Image::shared();
    let again = tag("again");
    for tool in ["buildah", "podman"] {
        let id = image.build(tool, &["--no-cache", "--tag", &again]);
        assert_eq!(id, image.id, "{tool}");
    }
    // The name only: the image has its other one.
    image.tool("podman").args(["rmi", &again]).succeeds();
}

#[test]
fn scanners_see_its_packages() {
    let image = Image::shared();
    let scratch = Scratch::new();
    let archive = scratch.join("image.tar");
    image
        .tool("podman")
        .args(["save", "--quiet", "--format", "oci-archive", "--output"])
        .arg(&archive)
        .arg(&image.id)
        .succeeds();
    let seen = Program::other(tool::tools().join("kubernetes/bin/syft"))
        .args(["scan", "--quiet", "--output", "syft-table"])
        .arg(format!("oci-archive:{}", archive.display()))
        .env("SYFT_CHECK_FOR_APP_UPDATE", "false")
        .succeeds();
    for package in [
        "libpq5",
        "libssl3t64",
        "libc6",
        "postgresql-client-17",
        "busybox",
        "tzdata",
    ] {
        assert!(seen.out().contains(package), "{package}\n{seen}");
    }
}
