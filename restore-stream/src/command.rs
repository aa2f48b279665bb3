//! From the command line to what is done.

use job::Error;

use crate::choose::Chosen;
use crate::cli::Args;
use crate::ledger::Ledger;
use crate::preflight::Cluster;
use crate::{list, pipe, plan, restore};

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
    let done = restore(&args, &mut ledger);
    match done {
        Ok(()) => ledger.say(),
        Err(_) => ledger.say_what_stands(),
    }
    if args.json {
        job::print_json(&ledger.document(done.as_ref().err()))?;
    }
    done
}

fn restore(args: &Args, ledger: &mut Ledger) -> Result<(), Error> {
    if args.verify_first {
        // Reading all of it may take hours: not for a server that cannot be restored into.
        Cluster::survey(args, plan::taken(None, args).as_deref())?;
    }
    restore::run(&Chosen::new(args)?, args, ledger)
}
