//! What setup-backup.sh makes of what an account allows.

use super::az::{Setup, has};

#[test]
fn an_account_without_keys_is_said_before_anything_is_done() {
    let setup = Setup::new(&[]);
    setup.account("Standard_LRS", "false", "None");
    let seen = setup.run(&["--yes", "--no-run"]).fails(1);
    seen.says("allowSharedKeyAccess is false")
        .says("--identity");
    seen.says("locally redundant");
    setup.account("Standard_GRS", "true", "90.00:00:00\nBlock");
    let seen = setup.run(&["--yes", "--no-run"]).fails(1);
    seen.says("90 days at most, not for 365").says("--days 90");
    assert_eq!(setup.stage.shared.lock().changes, Vec::<String>::new());
    let asked = setup.asked();
    assert!(!asked.iter().any(|line| has(line, "create")), "{asked:?}");
}

#[test]
fn a_token_for_a_laptop() {
    let setup = Setup::new(&[]);
    setup.account("Standard_LRS", "false", "None");
    let store = [
        "--user-delegation-sas",
        "--storage-account",
        "acc",
        "--container",
        "backups",
    ];
    let seen = setup.run(&store).succeeds();
    assert_eq!(seen.out(), "se=2099-01-01T00:00Z&sp=rl&sig=SIGNATURE");
    let asked = setup.asked();
    let made = asked
        .iter()
        .find(|line| has(line, "generate-sas"))
        .expect("a token");
    for words in [
        "--as-user",
        "--auth-mode login",
        "--permissions rl",
        "--https-only",
        "--account-name acc",
    ] {
        assert!(has(made, words), "{made:?}");
    }
    setup
        .run(&["--user-delegation-sas", "--days", "8"])
        .fails(2)
        .says("7 days at most");
    assert_eq!(setup.stage.shared.lock().changes, Vec::<String>::new());
}
