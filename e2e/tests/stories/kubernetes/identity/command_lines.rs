//! The lines of az that setup-backup.sh writes, read by the real azure-cli's parser.

use std::collections::BTreeSet;

use e2e::{Program, tool};

use super::az::Setup;

/// Every kind of line, as azure-cli's own parser reads it: what it does not know is exit code 2.
#[test]
fn azure_cli_knows_every_line() {
    let mut lines: BTreeSet<Vec<String>> = BTreeSet::new();
    let mut kinds = BTreeSet::new();
    let mut add = |setup: &Setup| {
        for line in setup.asked() {
            let options = line
                .iter()
                .filter(|word| word.starts_with("--") || !word.contains(['/', '[']));
            if kinds.insert(options.cloned().collect::<Vec<_>>().join(" ")) {
                lines.insert(line);
            }
        }
    };
    let setup = Setup::new(&["workload-identity"]);
    let all = ["--yes", "--no-run", "--soft-delete", "14", "--versioning"];
    setup.run(&all).succeeds();
    add(&setup);
    setup.run(&["--user-delegation-sas"]).succeeds();
    add(&setup);
    assert!(lines.len() > 12, "{lines:#?}");
    let scratch = &setup.stage.scratch;
    scratch.write("lines.json", serde_json::to_string(&lines).expect("JSON"));
    scratch.write("role.json", "{}");
    let read = r#"
import json, sys
from azure.cli.core import get_default_cli
wrong = 0
for line in json.load(open("lines.json")):
    # The role's file is gone with its directory.
    line = ["@role.json" if word.startswith("@") else word for word in line]
    try:
        code = get_default_cli().invoke(line)
    except SystemExit as end:
        code = end.code
    print(code, " ".join(line))
    wrong += code == 2
sys.exit(wrong)
"#;
    let python = tool::tools().join("kubernetes/bin/python");
    let seen = Program::other(python)
        .args(["-c", read])
        .in_dir(scratch.path())
        .env("HOME", scratch.path())
        .env("AZURE_CONFIG_DIR", scratch.join("azure"))
        .env("AZURE_CORE_COLLECT_TELEMETRY", "0")
        .succeeds();
    // It did read them: nobody is logged in.
    let out = seen.out();
    let read = out
        .lines()
        .filter(|line| line.starts_with("1 ") || line.starts_with("0 "));
    assert_eq!(read.count(), lines.len(), "{seen}");
    seen.says("az login");
}
