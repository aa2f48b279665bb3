//! The commands of the documents: each is one that the program of its name knows, with the options that it has.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use e2e::{PROGRAMS, Program, Scratch, scratch, tool};
use serde_json::json;

use super::manifests::{objects, render};
use super::pod::{list, text};

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
build | compile | setup-backup.sh | backup-now.sh | restore-backup.sh)
    words=()
    for word; do
        [ "$word" != -- ] || break
        words+=("$word")
    done
    said=$(K8S "${words[@]}" --help 2>&1)
    ;;
kind | docker | psql | pg_basebackup | find) true ;;
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
                "kubectl"
                    | "az"
                    | "k8s/setup-backup.sh"
                    | "k8s/backup-now.sh"
                    | "k8s/restore-backup.sh",
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

/// The block of a language that comes first after a heading.
pub(crate) fn block(page: &str, heading: &str, language: &str) -> String {
    let (_, after) = page
        .split_once(&format!("{heading}\n"))
        .unwrap_or_else(|| panic!("no {heading:?}"));
    let fence = format!("```{language}\n");
    let at = after
        .find(&fence)
        .unwrap_or_else(|| panic!("no {language} after {heading:?}"));
    // One in a list is indented.
    let indent = after[..at].len() - after[..at].trim_end_matches(' ').len();
    let lines = after[at + fence.len()..]
        .lines()
        .map(|line| line.get(indent..).unwrap_or_default());
    lines
        .take_while(|line| *line != "```")
        .map(|line| format!("{line}\n"))
        .collect()
}

/// All pages that have commands.
fn pages() -> Vec<(String, String)> {
    let names = scratch::names(tool::workspace().join("docs")).into_iter();
    let pages = names
        .filter(|name| name.ends_with(".md"))
        .map(|name| format!("docs/{name}"));
    pages
        .chain(["README.md".to_owned()])
        .map(|name| {
            let text = fs::read_to_string(tool::workspace().join(&name)).expect("a page");
            (name, text)
        })
        .collect()
}

/// No shell of the pod's expands what stands after `kubectl exec … --`.
#[test]
fn what_a_pod_s_shell_expands_is_given_to_one() {
    let mut count = 0;
    for (page, text) in pages() {
        // In the text, and in blocks.
        for line in text.split(['\n', '`']) {
            let Some((_, command)) = line
                .split_once("kubectl exec ")
                .and_then(|(_, rest)| rest.split_once(" -- "))
            else {
                continue;
            };
            count += 1;
            let shell = ["sh -c ", "sh -euc ", "bash -c "];
            let quoted =
                command.starts_with("psql ") || shell.iter().any(|it| command.starts_with(it));
            assert!(
                quoted || !command.contains(['*', '?', '$', '~']),
                "{page}: nothing expands {command:?}"
            );
        }
    }
    assert!(count >= 5, "{count} commands");
    // Where the strategy has it without a shell, the page says what to type.
    let page = fs::read_to_string(tool::workspace().join(PAGES[0])).expect("the page");
    let mut rows = page
        .lines()
        .filter(|line| line.contains("`du -sh /backups/*`"));
    let row = rows.next().expect("the strategy's command");
    assert!(row.contains("-- sh -c 'du -sh /backups/*'`"), "{row}");
    assert_eq!(rows.next(), None);
}

/// `kubectl logs -f` of a Job that was just made ends with ContainerCreating.
#[test]
fn a_job_that_is_made_is_waited_for() {
    let mut count = 0;
    for (page, text) in pages() {
        for block in text.split("```").skip(1).step_by(2) {
            let Some((_, after)) = block.split_once("kubectl create job") else {
                continue;
            };
            let Some((before, _)) = after.split_once("kubectl logs") else {
                continue;
            };
            count += 1;
            assert!(before.contains("kubectl wait"), "{page}:{block}");
        }
    }
    assert_eq!(count, 3);
}

/// What the page says to mount is what the overlay `local` mounts, and it is not taken over by an fsGroup.
#[test]
fn the_postgres_pod_mounts_the_claim_read_only() {
    let page = fs::read_to_string(tool::workspace().join(PAGES[0])).expect("the page");
    let spec = block(&page, "## The volume", "yaml");
    let spec: String = spec.lines().map(|line| format!("      {line}\n")).collect();
    let with_the_page_s = format!(
        "apiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n  name: of-the-page\nspec:\n  template:\n    spec:\n{spec}"
    );
    let local = objects(&render("local", &[]));
    let mut all = objects(&with_the_page_s);
    all.extend(local);
    let mut seen = Vec::new();
    for object in all.iter().filter(|object| object["kind"] == "StatefulSet") {
        let spec = &object["spec"]["template"]["spec"];
        let volumes = list(&spec["volumes"]).iter();
        let claims: Vec<_> = volumes
            .map(|volume| &volume["persistentVolumeClaim"])
            .filter(|claim| claim["claimName"] == "postgresql-backups")
            .collect();
        assert_eq!(
            claims,
            [&json!({"claimName": "postgresql-backups", "readOnly": true})]
        );
        assert_eq!(
            spec["securityContext"]["supplementalGroups"],
            json!([10001])
        );
        seen.push(text(&object["metadata"]["name"]));
    }
    assert_eq!(seen, ["of-the-page", "postgresql-primary"]);
}

/// The volume of a cluster without a provisioner: valid, and one that the claim is bound to.
#[test]
fn the_volume_of_the_page_is_one_for_the_claim() {
    let page = fs::read_to_string(tool::workspace().join(PAGES[0])).expect("the page");
    let volume = block(&page, "### Without a provisioner", "yaml");
    let scratch = Scratch::new();
    Program::other(tool::tools().join("kubernetes/bin/kubernetes-validate"))
        .args(["--strict", "-k", "1.36"])
        .arg(scratch.write("volume.yaml", &volume))
        .succeeds();
    let volume = &objects(&volume)[0]["spec"];
    // What an overlay without a component asks for.
    let base = objects(&render("local", &[]));
    let claim = base
        .iter()
        .find(|object| {
            object["kind"] == "PersistentVolumeClaim"
                && object["metadata"]["name"] == volume["claimRef"]["name"]
        })
        .expect("the claim");
    assert_eq!(
        claim["metadata"]["namespace"],
        volume["claimRef"]["namespace"]
    );
    assert_eq!(claim["spec"]["accessModes"], volume["accessModes"]);
    assert_eq!(
        claim["spec"]["resources"]["requests"]["storage"],
        volume["capacity"]["storage"]
    );
    assert_eq!(
        claim["spec"]["storageClassName"],
        volume["storageClassName"]
    );
    let directory = text(&volume["local"]["path"]);
    let said = format!("chgrp 10001 {directory}; chmod 2775 {directory}");
    assert!(page.contains(&said), "{said}");
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
    for name in [
        "kubectl",
        "az",
        "kind",
        "docker",
        "psql",
        "pg_basebackup",
        "find",
    ]
    .iter()
    .chain(&PROGRAMS)
    {
        stub(&format!("bin/{name}"), "");
    }
    for path in [
        "k8s/setup-backup.sh",
        "k8s/backup-now.sh",
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
