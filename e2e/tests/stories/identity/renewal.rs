//! A token that ends while it is used.

use std::fs;

use chrono::Utc;
use e2e::{Program, wait_for};

use super::Pod;

/// The service takes the first token for a moment only, whatever Entra said of it.
fn short_lived(pod: &Pod) {
    pod.entra.change(|state| state.really_lasts = Some(2));
}

/// Waits until that token is of no use any more, and lets later ones be good.
fn outlive(pod: &Pod, issued_before: usize) {
    wait_for("a token", || {
        (pod.entra.issued().len() > issued_before).then_some(())
    });
    pod.entra.change(|state| state.really_lasts = None);
    let until = Utc::now().timestamp() + 3;
    wait_for("the token's end", || {
        (Utc::now().timestamp() > until).then_some(())
    });
}

#[test]
fn a_token_that_ends_is_renewed_in_the_middle() {
    let pod = Pod::new();
    let (source, file) = (pod.scratch.join("source"), pod.scratch.join("source.gz"));
    Program::sh("head -c 30000000 /dev/urandom")
        .stdout_file(&source)
        .succeeds();
    let dump = Program::new("pgdump-gz").args(["--", "cat"]).arg(&source);
    dump.stdout_file(&file).succeeds();
    let go = pod.scratch.join("go");
    let waits = format!("until [ -e '{}' ]; do sleep 0.1; done", go.display());
    let blob = format!("{}/x.gz", pod.store());

    short_lived(&pod);
    let put = format!("{{ head -c 10000000; {waits}; cat; }} | blob-put - '{blob}'");
    let running = pod.run(Program::sh(&put).stdin_file(&file)).spawn();
    outlive(&pod, 0);
    fs::write(&go, "").unwrap();
    let seen = running.wait();
    assert_eq!(seen.code(), Some(0), "{seen}");
    pod.hides_all(&seen);
    assert_eq!(pod.entra.count(), 2, "{seen}");

    fs::remove_file(&go).unwrap();
    let copy = pod.scratch.join("copy");
    let feed = format!("head -c 1000000; {waits}; cat");
    short_lived(&pod);
    let restore = Program::new("restore-stream").args([&blob, "--", "sh", "-c", &feed]);
    let running = pod.run(restore.stdout_file(&copy)).spawn();
    outlive(&pod, 2);
    fs::write(&go, "").unwrap();
    let seen = running.wait();
    assert_eq!(seen.code(), Some(0), "{seen}");
    pod.hides_all(&seen);
    assert_eq!(pod.entra.count(), 4, "{seen}");
    Program::other("cmp").args([&source, &copy]).succeeds();
}
