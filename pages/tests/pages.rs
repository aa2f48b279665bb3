//! What is written for packages, and how each `--help` looks.

use std::fs;
use std::process::Command;

/// Help for a terminal of this width.
fn help(command: &clap::Command, width: usize, long: bool) -> String {
    let mut command = command.clone().term_width(width);
    let help = if long {
        command.render_long_help()
    } else {
        command.render_help()
    };
    help.to_string()
}

#[test]
fn each_program_has_its_pages_and_they_name_every_option() {
    let share = tempfile::tempdir().unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_pages"))
        .arg(share.path())
        .status();
    assert!(status.unwrap().success());
    for command in pages::commands() {
        let name = command.get_name();
        for path in pages::paths(name) {
            let text = fs::read_to_string(share.path().join(&path)).expect(&path);
            // roff has a hyphen as \-.
            let text = text.replace("\\-", "-");
            let shown = command.get_arguments().filter(|it| !it.is_hide_set());
            let mut count = 0;
            for option in shown.filter_map(clap::Arg::get_long) {
                // fish: -l json.
                let fish = format!("-l {option} ");
                let named = text.contains(&format!("--{option}")) || text.contains(&fish);
                assert!(named || text.contains(fish.trim_end()), "{path}: {option}");
                count += 1;
            }
            assert!(count > 5, "{path}: {count} options");
            assert!(text.contains(name), "{path}");
        }
    }
}

#[test]
fn a_man_page_has_the_examples_and_the_exit_codes() {
    let share = tempfile::tempdir().unwrap();
    pages::write(share.path()).unwrap();
    for command in pages::commands() {
        let [man, ..] = pages::paths(command.get_name());
        let page = fs::read_to_string(share.path().join(man)).unwrap();
        for section in [
            "NAME",
            "SYNOPSIS",
            "OPTIONS",
            "EXAMPLES",
            "ENVIRONMENT",
            "\"EXIT CODES\"",
        ] {
            assert!(
                page.contains(&format!("\n.SH {section}\n")),
                "{section}\n{page}"
            );
        }
        assert!(page.contains("143  stopped by SIGTERM"), "{page}");
        let lines: Vec<_> = page.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[0].starts_with("\\fB")) {
            assert!(!pair[1].is_empty(), "{} has no text", pair[0]);
        }
    }
}

#[test]
fn the_short_help_fits_on_a_screen() {
    for command in pages::commands() {
        for width in [80, 100] {
            let help = help(&command, width, false);
            let lines = help.lines().count();
            assert!(lines <= 40, "{lines} lines of {width} columns\n{help}");
        }
    }
}

#[test]
fn no_line_of_help_is_longer_than_the_terminal() {
    for command in pages::commands() {
        for long in [false, true] {
            let help = help(&command, 100, long);
            for line in help.lines() {
                assert!(line.chars().count() <= 100, "{line:?}\n{help}");
            }
        }
    }
}

/// clap wraps a line that does not fit wherever a word ends: a command line would be two.
#[test]
fn examples_and_tables_fit_in_80_columns() {
    for command in pages::commands() {
        let text = command.get_after_long_help().unwrap().to_string();
        let help = help(&command, 80, true);
        let mut count = 0;
        for line in text.lines().filter(|line| line.starts_with(' ')) {
            assert!(help.lines().any(|it| it == line), "{line:?}");
            count += 1;
        }
        assert!(count > 10, "{count} lines");
    }
}

#[test]
fn the_version_names_the_program() {
    for command in pages::commands() {
        let expected = format!("{} {}\n", command.get_name(), version::VERSION);
        assert_eq!(command.render_version(), expected);
    }
}
