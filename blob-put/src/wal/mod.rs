//! `--wal`: PostgreSQL's archive_command, and the catch-up of a whole pg_wal directory.

mod archiver;
mod budget;
mod catch_up;
mod file;
mod ready;

use std::path::Path;
use std::time::Duration;

use azure_blob::{Options, Permission};
use job::Error;
use store::{Place, Store};
use wal::{DataDirectory, WalName};

use crate::cli::Args;
use archiver::Archiver;

/// PostgreSQL asks again for what was not archived, and waits for us when it is shut down.
const DEADLINE: Duration = Duration::from_secs(20);
/// How many files a catch-up sends at once where the command line does not say.
const CATCH_UP: u16 = 4;

/// Archives a file, or all of a directory.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let path = Path::new(&args.source);
    let at_once = match path.is_dir() {
        true => args.ahead.unwrap_or(CATCH_UP),
        false => args.ahead.map_or(1, |ahead| ahead + 1),
    };
    let options = Options {
        concurrency: at_once.into(),
        // One for the question about timelines, one for the segment, which is still being compressed.
        spare_connection: true,
        ..Options::default().within(args.deadline.unwrap_or(DEADLINE))
    };
    if path.is_dir() {
        let data = DataDirectory::of(path);
        let store = open_store(args, options)?;
        return catch_up::run(&data, &store, at_once.into());
    }
    let name = name(path)?;
    let data = DataDirectory::of(path.parent().unwrap_or(Path::new("")));
    let file = file::WalFile::open(path, name, &data)?;
    let store = open_store(args, options)?;
    let archiver = Archiver::new(&store, file.system(), &data);
    match args.ahead {
        None => archiver.put_awaited(file).map(drop),
        Some(ahead) => ready::put_with_neighbours(&archiver, file, &data, ahead.into()),
    }
}

fn name(path: &Path) -> Result<WalName, Error> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(WalName::parse).ok_or_else(|| {
        Error::usage(format!(
            "'{}' has not the name of anything that PostgreSQL archives",
            path.display()
        ))
        .hint("archive_command = 'blob-put --wal \"%p\" STORE/'")
    })
}

fn open_store(args: &Args, options: Options) -> Result<Store, Error> {
    let store = Store::open_with(&args.destination, options)?;
    if let Place::Container(client) = store.place() {
        client.check(&[Permission::Create])?;
    }
    Ok(store)
}
