//! How old a standby's data are: its backup has what it had replayed, which may be days behind its primary.

use std::thread;
use std::time::Duration;

use backup_file::{ServerRole, Standby};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use job::text::age;
use job::{Error, say};
use pg_client::{Row, Server, Version};
use pg_text::PgText;

/// How often a standby that has not replayed all that it heard of is asked again, and the pause before each time: one
/// that keeps up with a busy primary is only milliseconds behind.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(200);

/// A moment as RFC 3339 has it.
const UTC_FORM: &str = "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'";

/// What a standby knows of its own age, at one moment.
///
/// A receiver that has just connected has heard nothing yet. It shows its own start as the time of the last message,
/// with the end of the WAL that an earlier receiver was told of (`WalReceiverMain`). Only then are both times equal.
fn question() -> String {
    format!(
        "SET search_path = pg_catalog;
         SELECT coalesce(receiver.pid IS NOT NULL AND coalesce(status, 'streaming') = 'streaming', false),
                coalesce(latest_end_lsn, pg_last_wal_receive_lsn()),
                to_char(CASE WHEN last_msg_send_time <> last_msg_receipt_time
                             THEN least(last_msg_send_time, last_msg_receipt_time) END
                        AT TIME ZONE 'UTC', {UTC_FORM})
         FROM (SELECT) AS it LEFT JOIN pg_stat_wal_receiver AS receiver ON true;
         SELECT pg_last_wal_replay_lsn(),
                to_char(pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', {UTC_FORM})"
    )
}

/// What a server is in its replication, if that is no standby with data older than `most`. None of a standby older than
/// PostgreSQL 10, which has other names for its WAL and cannot be asked.
///
/// # Errors
/// It does not answer. Its data are older, or nobody can say whether they are (exit code 4).
pub(crate) fn role(
    server: &Server,
    maintenance: &PgText,
    is_standby: bool,
    version: &Version,
    most: Option<TimeDelta>,
) -> Result<Option<ServerRole>, Error> {
    let role = match is_standby {
        false => Some(ServerRole::Primary),
        true if version.major() < 10 => None,
        true => {
            let standby = look(server, maintenance)?;
            if standby.receiver_connected && standby.last_message_time.is_none() {
                say!(
                    "warning: the standby does not say when it last heard of its primary, so that an idle primary looks like lag: GRANT pg_read_all_stats to the role that dumps"
                );
            }
            Some(ServerRole::Standby(Box::new(standby)))
        }
    };
    if let Some(most) = most {
        check_lag(role.as_ref(), most, Utc::now())?;
    }
    Ok(role)
}

/// Asks a standby how old its data are.
fn look(server: &Server, maintenance: &PgText) -> Result<Standby, Error> {
    let asked = Utc::now();
    let mut standby = ask(server, maintenance)?;
    for _ in 0..TRIES {
        if !standby.receiver_connected || has_replayed_all(&standby) {
            break;
        }
        thread::sleep(PAUSE);
        let later = ask(server, maintenance)?;
        // What it had heard by the first question is what it is to reach: the primary goes on meanwhile.
        standby.replay_lsn = later.replay_lsn;
        standby.replay_time = later.replay_time;
        if standby.last_message_time.is_none() {
            standby.received_lsn = later.received_lsn;
            standby.last_message_time = later.last_message_time;
        }
    }
    let checkpoint = match standby.replay_time {
        None => last_checkpoint(server, maintenance),
        Some(_) => None,
    };
    standby.data_time = data_time(&standby, checkpoint, asked);
    Ok(standby)
}

fn ask(server: &Server, maintenance: &PgText) -> Result<Standby, Error> {
    let rows = server.query(Some(maintenance), question())?;
    let [heard, replayed] = rows.as_slice() else {
        return Err(Error::failed(
            "the standby does not say how far it has replayed",
        ));
    };
    Ok(Standby {
        data_time: None,
        replay_time: moment(replayed, 1),
        replay_lsn: text(replayed, 0),
        receiver_connected: text(heard, 0).as_deref() == Some("t"),
        received_lsn: text(heard, 1),
        last_message_time: moment(heard, 2),
    })
}

/// When its last checkpoint was made on the primary. A standby that was restarted has replayed at least up to there, and
/// says nothing else before the next transaction comes.
fn last_checkpoint(server: &Server, maintenance: &PgText) -> Option<DateTime<Utc>> {
    let sql = format!(
        "SELECT pg_catalog.to_char(checkpoint_time AT TIME ZONE 'UTC', {UTC_FORM}) FROM pg_catalog.pg_control_checkpoint()"
    );
    // Somebody may have taken the privilege back: then nobody knows.
    let rows = server.query(Some(maintenance), sql).ok()?;
    moment(rows.first()?, 0)
}

fn text(row: &Row, column: usize) -> Option<String> {
    let text = row.get(column)?.as_ref()?;
    Some(text.to_string())
}

fn moment(row: &Row, column: usize) -> Option<DateTime<Utc>> {
    let text = text(row, column)?;
    let moment = DateTime::parse_from_rfc3339(&text).ok()?;
    Some(moment.to_utc())
}

/// A place in the WAL: `16/B374D848`.
fn lsn(text: Option<&String>) -> Option<u64> {
    let (high, low) = text?.split_once('/')?;
    let part = |digits| u32::from_str_radix(digits, 16).ok().map(u64::from);
    Some(part(high)? << 32 | part(low)?)
}

fn has_replayed_all(standby: &Standby) -> bool {
    let replayed = lsn(standby.replay_lsn.as_ref());
    let received = lsn(standby.received_lsn.as_ref());
    let known = replayed.zip(received);
    standby.last_message_time.is_some() && known.is_some_and(|(replayed, wal)| replayed >= wal)
}

/// The moment until which all that was committed is in the data. A primary that has nothing to say makes no standby
/// old: one that is connected and has replayed all that it heard of is as young as the last message.
fn data_time(
    standby: &Standby,
    checkpoint: Option<DateTime<Utc>>,
    asked: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let is_current = standby.receiver_connected && has_replayed_all(standby);
    let heard = standby.last_message_time.filter(|_| is_current);
    let known = standby.replay_time.max(checkpoint).max(heard);
    known.map(|time| time.min(asked))
}

/// Refuses a standby whose data are older than `most`, or of an age that nobody can say.
fn check_lag(role: Option<&ServerRole>, most: TimeDelta, now: DateTime<Utc>) -> Result<(), Error> {
    let most_words = words(most);
    let standby = match role {
        Some(ServerRole::Primary) => return Ok(()),
        Some(ServerRole::Standby(standby)) => standby,
        None => {
            return Err(Error::refused(format!(
                "nobody can say how old the server's data are, and at most {most_words} are allowed"
            ))
            .hint("it takes a server of PostgreSQL 10 or newer; leave --max-lag out"));
        }
    };
    let Some(time) = standby.data_time else {
        return Err(Error::refused(format!(
            "the standby cannot say how old its data are, and at most {most_words} are allowed"
        ))
        .hint(reason(standby)));
    };
    match now - time {
        lag if lag <= most => Ok(()),
        lag => Err(Error::refused(format!(
            "the standby is {} behind its primary, and at most {most_words} are allowed: it has the data of {}",
            words(lag),
            shown(time)
        ))
        .hint(reason(standby))),
    }
}

/// Where to look for why a standby is behind.
fn reason(standby: &Standby) -> &'static str {
    if !standby.receiver_connected {
        "it is not connected to its primary: its log says why; look at primary_conninfo, and at the replication slot on the primary"
    } else if standby.last_message_time.is_none() {
        "it does not say when it last heard of its primary: GRANT pg_read_all_stats to the role that dumps"
    } else if !has_replayed_all(standby) {
        "it is connected, and replays too late: look for a pause (pg_get_wal_replay_pause_state), recovery_min_apply_delay, queries that hold it up"
    } else {
        "it has not heard of its primary since: look at the network between them, and at wal_receiver_timeout"
    }
}

/// How old the data are, for the last line. Nothing of a primary.
pub(crate) fn remark(role: Option<&ServerRole>, started: DateTime<Utc>) -> String {
    let Some(ServerRole::Standby(standby)) = role else {
        return String::new();
    };
    let unconnected = match standby.receiver_connected {
        true => "",
        false => ", which is not connected to its primary",
    };
    match standby.data_time.map(|time| time.min(started)) {
        Some(time) => format!(
            ", the data of {} ({} before) from a standby{unconnected}",
            shown(time),
            words(started - time)
        ),
        None => format!(", data of an unknown age from a standby{unconnected}"),
    }
}

/// A time in the unit that fits: a standby may be seconds behind.
fn words(time: TimeDelta) -> String {
    match time.num_seconds() {
        0..120 => format!("{} s", time.num_seconds()),
        _ => age(time),
    }
}

fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: u32) -> DateTime<Utc> {
        let text = format!("2025-11-23T02:{minute:02}:00Z");
        DateTime::parse_from_rfc3339(&text).unwrap().to_utc()
    }

    /// Connected; has replayed this much of this much; its last transaction is of 2:10, its last message of 2:50.
    fn standby(replayed: &str, received: &str) -> Standby {
        Standby {
            data_time: None,
            replay_time: Some(at(10)),
            replay_lsn: Some(replayed.into()),
            receiver_connected: true,
            received_lsn: Some(received.into()),
            last_message_time: Some(at(50)),
        }
    }

    fn time_of(standby: &Standby) -> Option<DateTime<Utc>> {
        data_time(standby, None, at(55))
    }

    #[test]
    fn an_idle_primary_is_no_lag() {
        assert_eq!(time_of(&standby("0/3000148", "0/3000148")), Some(at(50)));
        assert_eq!(time_of(&standby("10/0", "F/FFFFFFFF")), Some(at(50)));
    }

    #[test]
    fn what_is_not_replayed_is_not_in_the_data() {
        assert_eq!(time_of(&standby("0/3000147", "0/3000148")), Some(at(10)));
        assert_eq!(time_of(&standby("F/FFFFFFFF", "10/0")), Some(at(10)));
    }

    #[test]
    fn what_an_unconnected_standby_last_heard_counts_for_nothing() {
        let unconnected = Standby {
            receiver_connected: false,
            ..standby("0/1", "0/1")
        };
        assert_eq!(time_of(&unconnected), Some(at(10)));
    }

    #[test]
    fn what_nobody_says_is_not_made_up() {
        let silent = Standby {
            last_message_time: None,
            ..standby("0/1", "0/1")
        };
        assert_eq!(time_of(&silent), Some(at(10)));
        let restarted = Standby {
            replay_time: None,
            ..silent
        };
        assert_eq!(time_of(&restarted), None);
        assert_eq!(data_time(&restarted, Some(at(5)), at(55)), Some(at(5)));
        let odd = Standby {
            replay_lsn: Some("x".into()),
            ..standby("", "0/1")
        };
        assert_eq!(time_of(&odd), Some(at(10)));
    }

    #[test]
    fn a_primary_whose_clock_is_ahead_makes_nothing_younger_than_now() {
        let standby = standby("0/1", "0/1");
        assert_eq!(data_time(&standby, None, at(20)), Some(at(20)));
    }

    fn refused(standby: Standby, most: TimeDelta) -> Option<Error> {
        let role = ServerRole::Standby(Box::new(standby));
        check_lag(Some(&role), most, at(59)).err()
    }

    #[test]
    fn what_is_too_far_behind_is_refused() {
        let behind = Standby {
            data_time: Some(at(10)),
            receiver_connected: false,
            ..standby("0/1", "0/1")
        };
        assert!(refused(behind.clone(), TimeDelta::minutes(49)).is_none());
        let error = refused(behind, TimeDelta::minutes(48)).unwrap();
        assert_eq!(
            error.to_string(),
            "the standby is 49 min behind its primary, and at most 48 min are allowed: it has the data of 2025-11-23T02:10:00Z"
        );
        assert_eq!(error.exit().code(), 4);
        assert!(error.hint_text().unwrap().contains("primary_conninfo"));
        let unknown = standby("0/1", "0/1");
        assert!(refused(unknown, TimeDelta::days(9999)).is_some());
        assert!(check_lag(None, TimeDelta::days(9999), at(0)).is_err());
        assert!(check_lag(Some(&ServerRole::Primary), TimeDelta::zero(), at(0)).is_ok());
    }

    #[test]
    fn the_hint_fits_the_standby() {
        assert!(reason(&standby("0/1", "0/2")).contains("recovery_min_apply_delay"));
        assert!(reason(&standby("0/2", "0/2")).contains("network"));
        let silent = Standby {
            last_message_time: None,
            ..standby("0/1", "0/1")
        };
        assert!(reason(&silent).contains("pg_read_all_stats"));
    }

    #[test]
    fn the_last_line_says_it() {
        let known = Standby {
            data_time: Some(at(10)),
            ..standby("0/1", "0/1")
        };
        let said = |standby: Standby| remark(Some(&ServerRole::Standby(Box::new(standby))), at(55));
        assert_eq!(
            said(known.clone()),
            ", the data of 2025-11-23T02:10:00Z (45 min before) from a standby"
        );
        let lost = Standby {
            receiver_connected: false,
            data_time: None,
            ..known
        };
        assert_eq!(
            said(lost),
            ", data of an unknown age from a standby, which is not connected to its primary"
        );
        assert_eq!(remark(Some(&ServerRole::Primary), at(0)), "");
    }
}
