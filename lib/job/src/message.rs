//! What is said to a person, on standard error.

use std::fmt;
use std::io::Write;
use std::sync::OnceLock;

use crate::{Error, bar, secret};

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
    bar::print_beside(|| {
        print(&format!("{}: {message}\n", program()));
    });
}

/// Says an error and its hint.
pub fn say_error(error: &Error) {
    bar::print_beside(|| {
        let hint = error.hint_text().map(|hint| format!("hint: {hint}\n"));
        print(&format!(
            "{}: {error}\n{}",
            program(),
            hint.unwrap_or_default()
        ));
    });
}

/// Hands on a line that another program (psql, pg_dump) said to standard error.
pub fn pass_on(line: &str) {
    bar::print_beside(|| print(&format!("{line}\n")));
}

/// In one write: the programs of a pipeline share one standard error, and no line may be cut in two.
pub(crate) fn print(lines: &str) {
    // Nobody is left to be told that standard error is closed.
    let _ = std::io::stderr().lock().write_all(shown(lines).as_bytes());
}

/// A text as it may leave the program: secrets are `***`, and what a terminal would obey, or would not show, is
/// written as Rust writes it, `\u{1b}`. Line feeds and tabs stay.
pub fn shown(text: &str) -> String {
    let text = secret::hidden(text);
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match is_unseen(char) {
            true => shown.extend(char.escape_unicode()),
            false => shown.push(char),
        }
    }
    shown
}

/// Whether a character is never shown as it is: control characters, and those of Unicode that have no shape of their
/// own, or change the order of others (Unicode Technical Report 36, Security Considerations): a name must not look
/// like another.
pub fn is_unseen(char: char) -> bool {
    let has_no_shape = matches!(
        char,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
    );
    has_no_shape || char.is_control() && !matches!(char, '\n' | '\t')
}

/// Says something to the person: `program: message` on standard error.
#[macro_export]
macro_rules! say {
    ($($word:tt)*) => { $crate::say_line(format_args!($($word)*)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_told_what_to_do() {
        for (text, wanted) in [
            ("a\tb\n", "a\tb\n"),
            ("\x1b[31mred\x07", "\\u{1b}[31mred\\u{7}"),
            ("a\rb\x7f\0", "a\\u{d}b\\u{7f}\\u{0}"),
            ("\u{9b}31m\u{85}", "\\u{9b}31m\\u{85}"),
            ("gz.\u{202e}lqs", "gz.\\u{202e}lqs"),
            ("\u{2066}x\u{2069}\u{2028}", "\\u{2066}x\\u{2069}\\u{2028}"),
            (
                "sh\u{200b}op\u{feff}\u{e0041}",
                "sh\\u{200b}op\\u{feff}\\u{e0041}",
            ),
            ("größe 壊れた ☃ é", "größe 壊れた ☃ é"),
            ("sig=a\x1bb", "sig=***"),
        ] {
            assert_eq!(shown(text), wanted);
            assert_eq!(shown(wanted), wanted);
        }
    }
}
