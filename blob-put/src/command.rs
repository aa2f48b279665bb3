use std::time::Instant;

use azure_blob::Upload;
use backup_file::BackupName;
use job::{Error, Progress, say};
use rate_limit::RateLimit;
use store::FilePublication;

use crate::cli::Args;
use crate::destination::{Destination, Location};
use crate::report::{Report, Uploaded};
use crate::source::{CheckedInput, Source};
use crate::{container, directory, wal};

/// Runs the program.
///
/// # Errors
/// Whatever ends it with nothing published.
pub(crate) fn run() -> Result<(), Error> {
    let args: Args = job::parse_args()?;
    if args.wal {
        return wal::run(&args);
    }
    let started = Instant::now();
    let source = Source::open(&args.source)?;
    let mut destination = Destination::open(&args, source.name())?;
    let name = destination.name.as_str();
    if !args.raw && BackupName::parse(name).is_none() {
        say!(
            "note: '{name}' is no backup's name: backup-verify, blob-prune and --latest will not see it"
        );
    }
    let uploaded = upload(&mut destination, source, &args)?;
    let report = Report::new(&destination, &uploaded, args.overwrite, started.elapsed());
    report.say();
    report.print(args.json)
}

/// Begins at the destination before the source is read, so that what is wrong there is reported before the dump is
/// waited for.
fn upload(
    destination: &mut Destination,
    mut source: Source,
    args: &Args,
) -> Result<Uploaded, Error> {
    let mut begun = Begun::at(destination, &source, args)?;
    let kind = {
        // The first bytes may be waited for: a base backup's come after a checkpoint.
        let is_upload = matches!(begun, Begun::Upload(_));
        let _unpublished = is_upload.then(|| job::on_stop(|| say!("nothing was published")));
        source.kind()?
    };
    if let Some(kind) = kind
        && (destination.is_own || !args.raw)
        && destination.expect(kind)?
    {
        begun = Begun::at(destination, &source, args)?;
    }
    let progress = Progress::new(format!("uploading '{}'", destination.name), source.size());
    let input = CheckedInput::new(source, args.raw, progress);
    match begun {
        Begun::Upload(upload) => container::put(*upload, input),
        Begun::Publication(publication) => {
            let limit = args.max_rate.map(RateLimit::new);
            directory::put(*publication, input, limit.as_ref())
        }
    }
}

/// What was begun at the destination.
enum Begun {
    Upload(Box<Upload>),
    Publication(Box<FilePublication>),
}

impl Begun {
    fn at(destination: &Destination, source: &Source, args: &Args) -> Result<Self, Error> {
        let name = destination.name.as_str();
        Ok(match &destination.location {
            Location::Container(client) => {
                let upload = container::begin(client, name, source, args)?;
                Self::Upload(Box::new(upload))
            }
            Location::Directory(place) => Self::Publication(Box::new(place.publish(name)?)),
        })
    }
}
