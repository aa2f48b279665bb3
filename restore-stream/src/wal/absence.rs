//! Whether a file that is not there may be called absent, which ends a recovery.

use std::ops::ControlFlow;

use job::Error;
use wal::{Archive, WalName};

/// What it means that a file is not there.
#[derive(Debug)]
pub(super) enum Absence {
    /// It is the end: the archive is there, and holds nothing later of its timeline.
    Proved,
    /// There is later WAL, and this error says so. The file may also be on its way: `blob-put --ahead` sends several at
    /// once.
    Hole(Error),
}

/// Looks what it means that the store does not have a file.
///
/// # Errors
/// That cannot be told: the store does not answer, or holds nothing of this cluster.
pub(super) fn judge(archive: &Archive, name: WalName) -> Result<Absence, Error> {
    let timeline = format!("{:08X}", name.timeline());
    let mut of_timeline = None;
    let mut later = None;
    archive.list_beginning(&timeline, |file| {
        of_timeline.get_or_insert(file.name);
        match is_later(file.name, name) {
            true => {
                later = Some(file.name);
                ControlFlow::Break(())
            }
            false => ControlFlow::Continue(()),
        }
    })?;
    if let Some(later) = later {
        return Ok(Absence::Hole(hole(archive, name, later)));
    }
    if of_timeline.is_none() && !archive.holds_any("")? {
        return Err(Error::failed(format!(
            "there is no WAL of the cluster {} in the store: '{}' is empty",
            archive.system(),
            archive.label()
        ))
        .hint("is it the store that the cluster archives into, with its prefix? pg_controldata shows the system identifier"));
    }
    Ok(Absence::Proved)
}

/// Whether `there` shows that `asked` should be there too.
fn is_later(there: WalName, asked: WalName) -> bool {
    let place = |name| match name {
        WalName::Segment(it)
        | WalName::Backup(it, _)
        | WalName::Partial(it)
        | WalName::OtherPartial(it, _) => Some((it.log, it.part)),
        WalName::History(_) => None,
    };
    match (place(there), place(asked)) {
        (Some(there), Some(asked)) => there > asked,
        // A timeline with WAL has a history, which is archived first; the first one came from nowhere, and PostgreSQL asks
        // for its history all the same when it is promoted.
        (Some(_), None) => asked.timeline() > 1,
        (None, _) => false,
    }
}

fn hole(archive: &Archive, name: WalName, later: WalName) -> Error {
    let said = format!(
        "'{name}' is missing in '{}', and '{later}' is there: this is a hole, not the end of the WAL",
        archive.label()
    );
    match name {
        WalName::History(timeline) => Error::not_good(said).hint(format!(
            "the history of timeline {timeline} was lost: put it there (blob-put --wal) from any server that came through it, or say recovery_target_timeline"
        )),
        _ => Error::not_good(said).hint(
            "a server that has it can send it: blob-put --wal \"$PGDATA/pg_wal/\" STORE/; to end the recovery before it, set recovery_target_time or recovery_target_lsn, or add --standby to the restore_command",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_a_hole() {
        let name = |text| WalName::parse(text).unwrap();
        let later = |there, asked| is_later(name(there), name(asked));
        let asked = "000000010000000000000005";
        assert!(later("000000010000000000000006", asked));
        assert!(later("000000010000000100000000", asked));
        assert!(later("000000010000000000000006.partial", asked));
        assert!(later("000000010000000000000006.00000028.backup", asked));
        assert!(!later("000000010000000000000004", asked));
        // The last of a timeline that was left is partial.
        assert!(!later("000000010000000000000005.partial", asked));
        assert!(!later("00000001.history", asked));
        assert!(later("000000020000000000000005", "00000002.history"));
        assert!(!later("000000010000000000000005", "00000001.history"));
    }
}
