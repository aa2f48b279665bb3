//! Writes the man pages and shell completions below a directory: `pages DIR`.

use std::env;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(share) = env::args_os().nth(1) else {
        return failed("which directory? pages DIR");
    };
    match pages::write(Path::new(&share)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("cannot write below {}: {error}", share.display())),
    }
}

#[allow(
    clippy::print_stderr,
    reason = "a tool of the build, not one of the programs"
)]
fn failed(message: &str) -> ExitCode {
    eprintln!("pages: {message}");
    ExitCode::FAILURE
}
