use backup_file::{About, BackupName, Index, ServerRole};
use wal::{Lsn, SegmentSize, Stretch, SystemId};

/// What a base backup's index says of the WAL that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseBackup {
    /// Its name.
    pub name: BackupName,
    /// The server that it is of, and when it was taken. When it was `finished`, it was whole: what was committed later
    /// comes from the WAL after it.
    pub about: About,
    /// The cluster.
    pub system: SystemId,
    /// How large the cluster's segments are.
    pub segment_size: SegmentSize,
    /// The WAL without which it cannot be restored, in order; not empty.
    pub wal: Vec<Stretch>,
}

impl BaseBackup {
    /// Takes it from the index of a backup; none if that is no base backup's.
    pub fn new(name: BackupName, index: &Index) -> Option<Self> {
        let base = index.base.as_ref()?;
        let wal = base.wal.iter().map(|range| Stretch {
            timeline: range.timeline,
            from: Lsn(range.start),
            to: Lsn(range.stop),
        });
        let wal: Vec<Stretch> = wal.collect();
        (!wal.is_empty()).then_some(Self {
            name,
            about: index.about.clone(),
            system: SystemId(base.system_identifier),
            segment_size: SegmentSize::new(base.wal_segment_size.into())?,
            wal,
        })
    }

    /// Whether a standby sent it, whose data may be much older than the backup.
    pub fn is_from_standby(&self) -> bool {
        let role = self.about.server_role.as_ref();
        role.is_some_and(ServerRole::is_standby)
    }

    /// The timeline and the place where recovery begins.
    pub fn start(&self) -> (u32, Lsn) {
        let first = self.wal.first();
        first.map_or((0, Lsn(0)), |it| (it.timeline, it.from))
    }

    /// The timeline and the place from which on the restored cluster is consistent.
    pub fn stop(&self) -> (u32, Lsn) {
        let last = self.wal.last();
        last.map_or((0, Lsn(0)), |it| (it.timeline, it.to))
    }
}
