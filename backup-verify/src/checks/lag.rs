//! How far a WAL archive is behind its server.

use chrono::{DateTime, TimeDelta, Utc};
use job::Error;
use job::text::{age, bytes};
use pg_client::{Conninfo, Row, Server};
use pg_text::PgText;
use recovery_window::Window;
use wal::{Lsn, SystemId};

use crate::figures::Figures;
use crate::finding::Finding;
use crate::read::archives::Cluster;

/// The name of the check.
const CHECK: &str = "lag";

/// What a server says of its WAL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerWal {
    system: SystemId,
    timeline: u32,
    /// Where it writes, or, of a standby, what it has replayed.
    at: Lsn,
    now: DateTime<Utc>,
    /// After this long a segment is archived, full or not, if anything of importance is in it; none if never.
    archive_timeout: Option<TimeDelta>,
    /// What its archiver says of its last failure, if it has had no success since.
    failure: Option<String>,
}

const QUESTION: &str = "SET search_path = pg_catalog;
SELECT (SELECT system_identifier FROM pg_control_system()),
       (SELECT timeline_id FROM pg_control_checkpoint()),
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
       CASE WHEN NOT pg_is_in_recovery() THEN ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END,
       to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
       (SELECT setting FROM pg_settings WHERE name = 'archive_timeout'),
       (SELECT last_failed_wal || ' at ' || to_char(last_failed_time AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS \"UTC\"')
        FROM pg_stat_archiver WHERE last_failed_time > coalesce(last_archived_time, '-infinity'))";

impl ServerWal {
    /// Asks a server.
    ///
    /// # Errors
    /// It does not answer, or not what was asked.
    pub(crate) fn ask(conninfo: &Conninfo) -> Result<Self, Error> {
        // As pgdump-gz: a role that only looks has no database of its name.
        let database = PgText::from("postgres");
        let database = conninfo.database().unwrap_or(&database);
        let rows = Server::new(conninfo.clone()).query(Some(database), QUESTION)?;
        let said = rows.first().and_then(Self::read);
        said.ok_or_else(|| Error::failed("the server does not say where its WAL is"))
    }

    fn read(row: &Row) -> Option<Self> {
        let text = |column: usize| row.get(column).cloned().flatten();
        let number = |column: usize| text(column)?.parse::<u64>();
        let timeout = number(5).filter(|seconds| *seconds > 0);
        Some(Self {
            system: SystemId(number(0)?),
            timeline: u32::try_from(number(3).or(number(1))?).ok()?,
            at: text(2)?.to_string().parse().ok()?,
            now: DateTime::parse_from_rfc3339(&text(4)?.to_string())
                .ok()?
                .to_utc(),
            archive_timeout: timeout
                .and_then(|seconds| TimeDelta::try_seconds(i64::try_from(seconds).ok()?)),
            failure: text(6).map(|text| text.to_string()),
        })
    }
}

/// Compares the end of the unbroken chain with the server.
pub(crate) fn check(clusters: &[Cluster], server: &ServerWal, max: TimeDelta) -> Finding {
    let system = server.system;
    let cluster = clusters.iter().find(|it| it.contents.system == system);
    let newest = cluster.and_then(|it| Some((it, it.bases.last()?)));
    let Some((cluster, base)) = newest else {
        return Finding::bad(
            CHECK,
            Error::not_good(format!("there is no base backup of the server's system {system}"))
                .hint("is it the right server, and the right store? A cluster that pg_upgrade or initdb made needs a base backup of its own"),
        );
    };
    let Some(window) = Window::to(base, &cluster.contents, server.timeline) else {
        return Finding::bad(
            CHECK,
            Error::not_good(format!(
                "the server is on timeline {}, to which '{}' does not lead",
                server.timeline, base.name
            ))
            .hint(
                "take a new base backup; a missing history of that timeline says the check 'fork'",
            ),
        );
    };
    let lag = Lag::of(server, &window, cluster.contents.holdings.size().bytes());
    let most = format!("at most {} are allowed", age(max));
    let mut words = format!(
        "system {system}: the archive ends at {}, the server is at {}, {} further",
        window.until_lsn,
        server.at,
        bytes(lag.bytes)
    );
    if lag.time > TimeDelta::zero() {
        words += &format!(", up to {} behind", age(lag.time));
    }
    words = format!("{words}; {most}");
    if let Some(failure) = &server.failure {
        words += &format!("; its archiver failed last, on {failure}");
    }
    let finding = if lag.time > max {
        let hint = "look into the server's log for what archive_command says";
        Finding::bad(CHECK, Error::not_good(words).hint(hint))
    } else if server.failure.is_some() {
        Finding::warning(CHECK, words)
    } else {
        Finding::ok(CHECK, words)
    };
    finding.figures(Figures::Lag {
        system: system.to_string(),
        lag_bytes: Some(lag.bytes),
        lag_seconds: lag.time.num_seconds(),
        max_lag_seconds: max.num_seconds(),
    })
}

/// What the archive lacks.
#[derive(Debug, PartialEq, Eq)]
struct Lag {
    bytes: u64,
    /// How old the oldest of it can be.
    time: TimeDelta,
}

impl Lag {
    fn of(server: &ServerWal, window: &Window, segment: u64) -> Self {
        let bytes = server.at.0.saturating_sub(window.until_lsn.0);
        let last = window.until.unwrap_or(window.from);
        let since = (server.now - last).max(TimeDelta::zero());
        let time = match (bytes, server.archive_timeout) {
            (0, _) => TimeDelta::zero(),
            // An idle server writes some bytes that are of no importance, and never archives them.
            (bytes, Some(timeout)) if bytes < segment => since.min(timeout),
            _ => since,
        };
        Self { bytes, time }
    }
}

/// A server that does not answer.
pub(crate) fn not_known(error: Error) -> Finding {
    Finding::bad(
        CHECK,
        error.within("how far the archive is behind is not known"),
    )
}

/// Without a server: how old the newest segment is of the cluster whose base backup is the newest.
pub(crate) fn without_server(cluster: &Cluster, now: DateTime<Utc>, max: TimeDelta) -> Finding {
    let system = cluster.contents.system;
    let segments = cluster.contents.holdings.segments();
    let newest = segments
        .filter_map(|segment| Some((cluster.contents.stored(segment)?, segment)))
        .max();
    let Some((stored, segment)) = newest else {
        return Finding::warning(
            CHECK,
            format!("system {system}: there is no segment of its WAL"),
        );
    };
    let lag = (now - stored).max(TimeDelta::zero());
    let words = format!(
        "system {system}: the newest segment, {segment}, was stored {} ago",
        age(lag)
    );
    let finding = if lag > max {
        Finding::warning(
            CHECK,
            format!("{words}; whether the server has more is not known without --dbname"),
        )
    } else {
        Finding::ok(CHECK, words)
    };
    finding.figures(Figures::Lag {
        system: system.to_string(),
        lag_bytes: None,
        lag_seconds: lag.num_seconds(),
        max_lag_seconds: max.num_seconds(),
    })
}

#[cfg(test)]
mod tests {
    use backup_file::BackupName;

    use super::*;

    const SEGMENT: u64 = 16 << 20;

    fn moment(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn lag(at: u64, timeout: Option<i64>) -> Lag {
        let server = ServerWal {
            system: SystemId(1),
            timeline: 1,
            at: Lsn(at),
            now: moment(100),
            archive_timeout: timeout.map(TimeDelta::minutes),
            failure: None,
        };
        let window = Window {
            base: BackupName::new(moment(0)),
            system: SystemId(1),
            from: moment(0),
            until: Some(moment(40)),
            timeline: 1,
            until_lsn: Lsn(10 * SEGMENT),
            stop: Lsn(0),
            gaps: Vec::new(),
        };
        Lag::of(&server, &window, SEGMENT)
    }

    #[test]
    fn an_idle_server_is_not_behind() {
        let minutes = |at, timeout| lag(at, timeout).time.num_minutes();
        assert_eq!(minutes(10 * SEGMENT, None), 0);
        assert_eq!(minutes(10 * SEGMENT - 5, None), 0);
        // The last switch left something, which may be nothing of importance.
        assert_eq!(minutes(10 * SEGMENT + 200, Some(1)), 1);
        // Without a timeout nobody archives it.
        assert_eq!(minutes(10 * SEGMENT + 200, None), 60);
        // A whole segment is missing.
        assert_eq!(minutes(11 * SEGMENT, Some(1)), 60);
        assert_eq!(lag(11 * SEGMENT, Some(1)).bytes, SEGMENT);
    }

    #[test]
    fn what_a_server_says() {
        let row = |last: Option<&str>| -> Row {
            let texts = ["7412345678901234567", "2", "A/C6000028"].map(Some);
            let more = [Some("3"), Some("2025-11-23T02:00:00Z"), Some("60"), last];
            let all = texts.into_iter().chain(more);
            all.map(|text| text.map(PgText::from)).collect()
        };
        let server = ServerWal::read(&row(None)).unwrap();
        assert_eq!(server.system, SystemId(7_412_345_678_901_234_567));
        assert_eq!((server.timeline, server.at), (3, Lsn(0x0A_C600_0028)));
        assert_eq!(server.archive_timeout, Some(TimeDelta::minutes(1)));
        assert_eq!(server.failure, None);
        let failing = ServerWal::read(&row(Some("0000 at noon"))).unwrap();
        assert_eq!(failing.failure.unwrap(), "0000 at noon");
        assert_eq!(ServerWal::read(&vec![None; 7]), None);
    }
}
