//! Puts one file into the archive, and looks whether it belongs there.

use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use job::{Error, say};
use store::Store;
use wal::{
    Archive, ArchiveErrorKind, DataDirectory, History, Lsn, Packed, Put, SystemId, WalName, unpack,
};

use super::budget::Budget;
use super::file::WalFile;

/// How long a segment that is durable waits for the answer whether its timeline was left: that only warns.
const PATIENCE: Duration = Duration::from_millis(500);

/// Puts files into one cluster's archive.
#[derive(Debug)]
pub(super) struct Archiver {
    archive: Archive,
    /// Who archives, for the metadata: two writers of one archive can be told apart.
    writer: String,
    budget: Budget,
}

impl Archiver {
    pub(super) fn new(store: &Store, system: SystemId, data: &DataDirectory) -> Self {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            archive: Archive::new(store, system),
            writer: format!("{} {}", host.trim(), data.label()),
            budget: Budget::default(),
        }
    }

    pub(super) fn archive(&self) -> &Archive {
        &self.archive
    }

    /// Puts a file there. When this returns without an error, it is durable in the store.
    ///
    /// # Errors
    /// It was not, or is of another cluster, or contradicts what is there.
    pub(super) fn put(&self, file: WalFile) -> Result<Put, Error> {
        self.put_packed(file, WalFile::pack)
    }

    /// The same for the file that PostgreSQL waits for.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub(super) fn put_awaited(&self, file: WalFile) -> Result<Put, Error> {
        self.put_packed(file, WalFile::pack_soon)
    }

    fn put_packed(
        &self,
        mut file: WalFile,
        pack: impl FnOnce(&mut WalFile) -> Result<Packed, Error>,
    ) -> Result<Put, Error> {
        let name = file.name();
        if file.system() != self.archive.system() {
            return Err(Error::not_good(format!(
                "'{name}' is of the cluster {}, not of {}",
                file.system(),
                self.archive.system()
            )));
        }
        let left = self.ask_whether_left(&file);
        let mut share = self.budget.take(file.size());
        let packed = pack(&mut file)?;
        share.keep(packed.bytes.len() as u64);
        if let WalName::History(timeline) = name {
            self.check_history(timeline, &packed)?;
        }
        let put = self.archive.put(name, &packed, &self.writer)?;
        if let Some((timeline, at)) =
            left.and_then(|answer| answer.recv_timeout(PATIENCE).ok().flatten())
        {
            say!(
                "warning: '{name}' is archived, but timeline {} was left at {at} for timeline {timeline}: are two servers primaries at once?",
                name.timeline()
            );
        }
        Ok(put)
    }

    /// Compares a file with the one that is there under its name, without sending it.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub(super) fn compare(&self, mut file: WalFile) -> Result<Put, Error> {
        let sha256 = file.sha256()?;
        match self.archive.compare(file.name(), &sha256) {
            // A partial segment goes beside another one.
            Err(error)
                if error.kind() == ArchiveErrorKind::Taken
                    && file.name().beside(&sha256).is_some() =>
            {
                self.put(file)
            }
            compared => Ok(compared?),
        }
    }

    /// Asks, while the segment is sent, whether its timeline was left before it: by the history of the next timeline,
    /// which an old primary does not know of.
    fn ask_whether_left(&self, file: &WalFile) -> Option<mpsc::Receiver<Option<(u32, Lsn)>>> {
        let segment = file.name().segment()?;
        let start = segment.start(file.header()?.segment_size)?;
        let next = segment.timeline.checked_add(1)?;
        let (sender, answer) = mpsc::channel();
        let archive = self.archive.clone();
        let asked = thread::Builder::new()
            .name("history".into())
            .spawn(move || {
                let history = archive.history(next).ok().flatten();
                let left = history.and_then(|history| history.left(segment.timeline));
                let left = left.filter(|left| *left <= start);
                // The segment may be archived, and nobody waits any more.
                let _: Result<(), _> = sender.send(left.map(|at| (next, at)));
            });
        asked.ok().map(|_| answer)
    }

    /// Whether a history agrees with those that are there of the timelines that it came through.
    fn check_history(&self, timeline: u32, packed: &Packed) -> Result<(), Error> {
        let mut text = Vec::new();
        let input = Box::new(std::io::Cursor::new(packed.bytes.clone()));
        let unpacked = unpack(input, None, |piece| {
            text.extend_from_slice(piece);
            Ok(())
        });
        unpacked.map_err(|error| Error::failed(error.to_string()))?;
        let name = WalName::History(timeline);
        let history = History::parse(timeline, &text).map_err(|error| {
            Error::not_good(format!(
                "'{name}' is no timeline history: {error}: it was not archived"
            ))
        })?;
        for fork in history.forks().iter().filter(|fork| fork.timeline > 1) {
            let Some(there) = self.archive.history(fork.timeline)? else {
                continue;
            };
            if let Some(contradiction) = history.contradicts(&there) {
                return Err(Error::refused(format!(
                    "'{name}' and '{}', which is in the archive, say that timeline {} came from different places: nothing was changed",
                    WalName::History(fork.timeline),
                    contradiction.timeline
                ))
                .hint("two standbys were promoted to one timeline: the server that was promoted second needs a store of its own"));
            }
        }
        Ok(())
    }
}
