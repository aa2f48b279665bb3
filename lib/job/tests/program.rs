//! A program that ends in different ways, run by itself.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends so")]

use std::process::{Command, ExitCode, Output};
use std::{env, fs, thread};

use job::{Error, say};
use rustix::process::{Resource, Rlimit, dumpable_behavior, getrlimit, setrlimit};

const WAY: &str = "JOB_TEST_WAY";
const TOKEN: &str = "se=2026-01-01&sr=c&sig=Wq7zL4kd0RTn2Pb9vUxGh1YcEo8m5sKfJtAiyQE%3D";
const SIGNATURE: &str = "Wq7zL4kd0RTn2Pb9vUxGh1YcEo8m5sKfJtAiyQE";

fn main() -> ExitCode {
    match env::var(WAY) {
        Ok(way) => job::main("program", || end(&way)),
        Err(_) => {
            check();
            ExitCode::SUCCESS
        }
    }
}

#[expect(clippy::panic, reason = "what comes of it is what is tested")]
fn end(way: &str) -> Result<(), Error> {
    match way {
        "panic" => panic!("with {TOKEN} and \x1b[31m"),
        "thread" => {
            // A caller that takes no notice of it.
            let _ = thread::spawn(|| panic!("with {TOKEN}")).join();
            Ok(())
        }
        "limits" => {
            let limits = fs::read_to_string("/proc/self/limits").unwrap();
            let mut child = Command::new("cat");
            let child = child.arg("/proc/self/limits").output().unwrap();
            job::print(&limits)?;
            job::print(&String::from_utf8_lossy(&child.stdout))?;
            job::print(&format!("{:?}\n", dumpable_behavior()))
        }
        _ => {
            say!("{way} {TOKEN}");
            job::print(&format!("{SIGNATURE}\x1b\n"))
        }
    }
}

fn run(way: &str) -> Output {
    let mut command = Command::new(env::current_exe().unwrap());
    command.env(WAY, way).env("AZURE_STORAGE_SAS_TOKEN", TOKEN);
    let output = command.output().unwrap();
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    println!("{way}: {}\n{said}", output.status);
    assert!(!said.contains(SIGNATURE) && !said.contains('\x1b'));
    output
}

fn check() {
    // Otherwise there may be no core dumps to begin with.
    let limit = getrlimit(Resource::Core);
    let wanted = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Core, wanted).unwrap();
    for way in ["panic", "thread"] {
        let output = run(way);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with("program: internal error"));
        assert!(said.contains("sig=***") && said.contains("please report"));
    }
    let limits = String::from_utf8(run("limits").stdout).unwrap();
    let core = limits.lines().filter(|line| line.contains("core file"));
    let none = core.filter(|line| line.split_whitespace().filter(|it| *it == "0").count() == 2);
    assert_eq!(none.count(), 2, "its own and its child's");
    assert!(limits.ends_with("Ok(NotDumpable)\n"));
    let output = run("well");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, b"***\\u{1b}\n");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "program: well se=2026-01-01&sr=c&sig=***\n");
}
