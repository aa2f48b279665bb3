//! A man page: clap_mangen's, but for the end of `--help`, which becomes sections of its own.

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

/// The page, as `man` reads it.
pub(crate) fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    // clap_mangen leaves the text of an option out if it is hidden in `-h`.
    let shown = command.clone().mut_args(|arg| arg.hide_short_help(false));
    let man = Man::new(shown);
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let rest = command.get_after_long_help();
    let rest = rest.map(ToString::to_string).unwrap_or_default();
    page.extend(sections(&rest).into_bytes());
    Ok(page)
}

/// The text below the options: `Examples:` and the like head lines that stay as they are, all other lines are
/// paragraphs.
fn sections(text: &str) -> String {
    let mut roff = Roff::default();
    roff.control("SH", ["NOTES"]);
    for block in text.split("\n\n") {
        match block.split_once(":\n") {
            Some((heading, lines)) if lines.starts_with("  ") => {
                roff.control("SH", [heading.to_uppercase().as_str()]);
                roff.control("nf", []);
                for line in lines.lines() {
                    roff.text([roman(line)]);
                }
                roff.control("fi", []);
            }
            _ => {
                roff.control("PP", []);
                roff.text([roman(block)]);
            }
        }
    }
    roff.to_roff()
}
