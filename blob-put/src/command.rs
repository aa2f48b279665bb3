use std::time::Instant;

use backup_file::BackupName;
use job::{Error, Progress, say};
use rate_limit::RateLimit;

use crate::cli::Args;
use crate::destination::{Destination, Location};
use crate::report::{Report, Uploaded};
use crate::source::{CheckedInput, Source};
use crate::{container, directory};

/// Runs the program.
///
/// # Errors
/// Whatever ends it with nothing published.
pub(crate) fn run() -> Result<(), Error> {
    let args: Args = job::parse_args()?;
    let started = Instant::now();
    let source = Source::open(&args.source)?;
    let destination = Destination::open(&args, source.name())?;
    let name = destination.name.as_str();
    if !args.raw && BackupName::parse(name).is_none() {
        say!(
            "note: '{name}' is no backup's name: backup-verify, blob-prune and --latest will not see it"
        );
    }
    let uploaded = upload(&destination, source, &args)?;
    let report = Report::new(&destination, &uploaded, args.overwrite, started.elapsed());
    report.say();
    report.print(args.json)
}

/// Begins at the destination before the source is read, so that what is wrong there is reported before the dump is
/// waited for.
fn upload(destination: &Destination, source: Source, args: &Args) -> Result<Uploaded, Error> {
    let name = destination.name.as_str();
    let progress = Progress::new(format!("uploading '{name}'"), source.size());
    match &destination.location {
        Location::Container(client) => {
            let upload = container::begin(client, name, &source, args)?;
            container::put(upload, CheckedInput::new(source, args.raw, progress))
        }
        Location::Directory(place) => {
            let publication = place.publish(name)?;
            let limit = args.max_rate.map(RateLimit::new);
            let input = CheckedInput::new(source, args.raw, progress);
            directory::put(publication, input, limit.as_ref())
        }
    }
}
