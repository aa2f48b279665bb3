//! The commands of the documents: each is one that the program of its name knows, with the options that it has.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use e2e::{Program, Scratch, tool};

const PAGES: [&str; 2] = ["docs/kubernetes.md", "docs/runbook.md"];

/// A program that is not run: it is asked for its help about what it was told, which it refuses where it does
/// not know a word of it.
const STUB: &str = r#"#!/usr/bin/env bash
# No pipe of the page's breaks for want of a reader.
[ -t 0 ] || timeout 1 cat >/dev/null
name=${0##*/}
case $name in
kubectl)
    # What comes after -- is for the pod.
    words=()
    for word; do
        [ "$word" != -- ] || break
        words+=("$word")
    done
    # A mere name of a command: `kubectl apply -k`.
    case ${words[*]} in *' -k') words+=(.) ;; esac
    # What it does not know at all it answers with the help of all.
    said=$(REAL/kubectl "${words[@]}" --help 2>&1) && case $said in 'kubectl controls'*) false ;; esac
    ;;
az)
    words=()
    for word; do
        case $word in -*) break ;; esac
        words+=("$word")
    done
    said=$(REAL/az "${words[@]}" --help 2>&1)
    ;;
build | compile | setup-backup.sh | restore-backup.sh) said=$(K8S "$@" --help 2>&1) ;;
kind | docker) true ;;
*)
    words=()
    for word; do
        [ "$word" != -- ] || break
        words+=("$word")
    done
    said=$(OURS/$name "${words[@]}" --help 2>&1)
    ;;
esac || printf '%s %s\n%s\n' "$name" "$*" "$said" >>REFUSED
"#;

/// The lines of a page's blocks of `sh`, and the commands of kubectl and of the scripts in its text.
fn commands(page: &str) -> Vec<String> {
    let mut inside = false;
    let mut prose = String::new();
    let mut found = Vec::new();
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```sh";
        } else if inside {
            found.push(line.to_owned());
        } else {
            prose += line;
            prose.push(' ');
        }
    }
    // Lines that go on in the next one are one.
    let mut joined = found.join("\n").replace("\\\n", " ");
    for code in prose.split('`').skip(1).step_by(2) {
        let words: Vec<_> = code.split_whitespace().collect();
        let whole = matches!(
            words.as_slice(),
            [
                "kubectl" | "az" | "k8s/setup-backup.sh" | "k8s/restore-backup.sh",
                _,
                ..
            ]
        );
        if whole && !code.starts_with('…') {
            joined = format!("{joined}\n{code}");
        }
    }
    joined.lines().map(str::to_owned).collect()
}

#[test]
fn every_command_of_the_pages_is_one() {
    let scratch = Scratch::new();
    let refused = scratch.join("refused");
    let real = tool::tools().join("kubernetes/bin");
    let stub = |path: &str, k8s: &str| {
        let text = STUB
            .replace("REAL", &real.display().to_string())
            .replace("OURS", &tool::programs().display().to_string())
            .replace("REFUSED", &refused.display().to_string())
            .replace("K8S", &tool::workspace().join(k8s).display().to_string());
        let file = scratch.write(path, text);
        fs::set_permissions(file, Permissions::from_mode(0o755)).expect("chmod");
    };
    for directory in ["bin", "k8s", "images"] {
        scratch.make(directory);
    }
    for name in ["kubectl", "az", "kind", "docker"]
        .iter()
        .chain(&crate::image::PROGRAMS)
    {
        stub(&format!("bin/{name}"), "");
    }
    for path in [
        "k8s/setup-backup.sh",
        "k8s/restore-backup.sh",
        "images/build",
        "images/compile",
    ] {
        stub(path, path);
    }
    let overlays = tool::workspace().join("k8s/overlays");
    symlink(overlays, scratch.join("k8s/overlays")).expect("a link");
    let mut count = 0;
    for page in PAGES {
        let text = fs::read_to_string(tool::workspace().join(page)).expect(page);
        let lines = commands(&text);
        count += lines.len();
        // Words in capitals and … stand for what the reader knows.
        let script = lines.join("\n");
        let path = tool::path_with(&[scratch.join("bin")]);
        let seen = Program::other("bash")
            .args(["-c", &script])
            .in_dir(scratch.path())
            .env("PATH", path)
            .env("STORE", "/backups")
            .env("HOME", scratch.path())
            .env("KUBECONFIG", "/nonexistent")
            .env("AZURE_CONFIG_DIR", scratch.join("azure"))
            .env("AZURE_CORE_COLLECT_TELEMETRY", "0")
            .run();
        let said = fs::read_to_string(&refused).unwrap_or_default();
        assert_eq!(said, "", "{page}: what its program does not know");
        for wrong in [
            "command not found",
            "syntax error",
            "No such file or directory",
        ] {
            assert!(!seen.err().contains(wrong), "{page}: {seen}");
        }
    }
    assert!(count > 50, "{count} commands");
}
