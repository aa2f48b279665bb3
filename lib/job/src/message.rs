//! What is said to a person, on standard error.

use std::fmt;
use std::io::Write;
use std::sync::OnceLock;

use crate::{Error, progress};

static PROGRAM: OnceLock<&'static str> = OnceLock::new();

pub(crate) fn set_program(name: &'static str) {
    // A second name is a second call in one process, as tests do: the first one stays.
    let _ = PROGRAM.set(name);
}

/// The program's name, as its messages begin.
pub fn program() -> &'static str {
    PROGRAM.get().copied().unwrap_or("job")
}

/// Says `program: message`; use the macro [`say!`](crate::say).
pub fn say_line(message: fmt::Arguments<'_>) {
    progress::beside_the_bar(|| {
        print(&format!("{}: {message}\n", program()));
    });
}

/// Says an error and its hint.
pub fn say_error(error: &Error) {
    progress::beside_the_bar(|| {
        let hint = error.hint_text().map(|hint| format!("hint: {hint}\n"));
        print(&format!(
            "{}: {error}\n{}",
            program(),
            hint.unwrap_or_default()
        ));
    });
}

/// Hands on a line that another program (psql, pg_dump) said to standard error, as it is.
pub fn pass_on(line: &str) {
    progress::beside_the_bar(|| print(&format!("{line}\n")));
}

/// In one write: the programs of a pipeline share one standard error, and no line may be cut in two.
fn print(lines: &str) {
    // Nobody is left to be told that standard error is closed.
    let _ = std::io::stderr().lock().write_all(lines.as_bytes());
}

/// Says something to the person: `program: message` on standard error.
#[macro_export]
macro_rules! say {
    ($($word:tt)*) => { $crate::say_line(format_args!($($word)*)) };
}
