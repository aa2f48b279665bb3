//! What Microsoft Entra ID refuses, and what passes.

use scripted_service::EntraFault;

use super::Pod;

#[test]
fn what_entra_refuses_is_said_by_every_program() {
    let pod = Pod::new();
    let store = pod.store();
    let file = pod
        .scratch
        .write("postgresql_backup_20250101_000000.sql.gz", "x");
    let file = file.display().to_string();
    let slash = format!("{store}/");
    let lines: [&[&str]; 4] = [
        &["blob-put", &file, &slash, "--raw"],
        &["blob-prune", &store, "--keep-days", "30"],
        &["backup-verify", &store],
        &["restore-stream", &store, "--latest", "--list"],
    ];
    for (fault, said) in [
        (
            EntraFault::Refuse(401, "invalid_client", 70_021),
            "federated credential",
        ),
        (
            EntraFault::Refuse(400, "invalid_request", 90_002),
            "AZURE_TENANT_ID",
        ),
    ] {
        pod.entra.recover();
        pod.entra.fault(0, fault);
        for line in lines {
            let before = pod.entra.count();
            let seen = pod.program(line[0]).args(&line[1..]).fails(1);
            seen.says("AADSTS").says("'11111111-client'").says(said);
            assert_eq!(pod.entra.count() - before, 1, "{seen}");
            pod.hides_all(&seen);
        }
    }
    // Half an identity, and none.
    for (name, said) in [
        ("AZURE_CLIENT_ID", "azure.workload.identity/client-id"),
        (
            "AZURE_FEDERATED_TOKEN_FILE",
            "there is no SAS token and no identity",
        ),
    ] {
        for line in lines {
            let program = pod.program(line[0]).without_env(name);
            program.args(&line[1..]).fails(1).says(said);
        }
    }
    let odd = pod.program("blob-prune").env("AZURE_STORAGE_AUTH", "key");
    odd.args(&lines[1][1..]).fails(2).says("workload-identity");
    assert!(pod.container.names().is_empty());
}

#[test]
fn what_passes_at_entra_is_outlived() {
    let pod = Pod::new();
    pod.entra.fault(1, EntraFault::Busy(429, 1));
    pod.entra.fault(2, EntraFault::Cut);
    let seen = pod.program("backup-verify").arg(pod.store()).fails(3);
    seen.says("429");
    assert_eq!(pod.entra.count(), 3, "{seen}");
}
