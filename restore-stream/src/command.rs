//! From the command line to what is done.

use std::io::Write;

use job::Error;

use crate::choose::Chosen;
use crate::cli::Args;
use crate::ledger::Ledger;
use crate::{list, pipe, restore};

/// Runs the program.
pub(crate) fn run() -> Result<(), Error> {
    let args: Args = job::parse_args()?;
    args.check()?;
    if args.list {
        return list::run(&args);
    }
    if !args.command.is_empty() {
        return pipe::run(&Chosen::new(&args)?, &args);
    }
    let mut ledger = Ledger::new(args.label().to_owned());
    let done = Chosen::new(&args).and_then(|chosen| restore::run(&chosen, &args, &mut ledger));
    match done {
        Ok(()) => ledger.say(),
        Err(_) => ledger.say_what_stands(),
    }
    if args.json {
        print(&ledger.json(done.as_ref().err())?)?;
    }
    done
}

/// Prints a result.
pub(crate) fn print(line: &str) -> Result<(), Error> {
    writeln!(std::io::stdout().lock(), "{line}")
        .map_err(|error| Error::io("cannot write to standard output", &error))
}
