use std::time::Instant;

use backup_file::BackupName;
use job::{Error, Progress, say, text};

use crate::cli::Args;
use crate::destination::{Destination, Place};
use crate::source::{Intake, Source};
use crate::{container, directory};

/// What is there now.
pub(crate) struct Put {
    /// The URL without the token, or the path.
    pub(crate) label: String,
    pub(crate) size: u64,
    pub(crate) sha256: [u8; 32],
}

/// Runs the program.
///
/// # Errors
/// Whatever ends it with nothing published.
pub(crate) fn run() -> Result<(), Error> {
    let args: Args = job::parse_args()?;
    let started = Instant::now();
    let source = Source::open(&args.source)?;
    let Destination { place, name } = Destination::open(&args, source.name())?;
    if !args.raw && BackupName::parse(&name).is_none() {
        say!(
            "note: '{name}' is no backup's name: backup-verify, blob-prune and --latest will not see it"
        );
    }
    let progress = Progress::new(format!("uploading '{name}'"), source.size());
    let put = match place {
        Place::Container(client) => {
            let upload = container::begin(&client, &name, &source, &args)?;
            let intake = Intake::new(source, args.raw, progress);
            container::put(upload, intake)?
        }
        Place::Directory(place) => {
            let publication = place.publish(&name)?;
            let intake = Intake::new(source, args.raw, progress);
            directory::put(publication, intake)?
        }
    };
    say!(
        "{}: {} in {} ({})",
        put.label,
        text::bytes(put.size),
        text::duration(started.elapsed()),
        text::rate(put.size, started.elapsed())
    );
    let sha256 = hex::encode(put.sha256);
    job::print(&format!("{}\t{}\t{sha256}\n", put.label, put.size))
}
