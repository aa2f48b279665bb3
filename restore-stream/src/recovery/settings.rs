//! What the server is told: where its WAL comes from, and where it stops.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use wal::Lsn;

use crate::cli::recovery::TargetAction;

/// Where the server stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// After the last transaction that ended until then.
    Time(DateTime<Utc>),
    /// At the record that begins there.
    Lsn(Lsn),
    /// Where there is no more WAL.
    End,
}

/// The settings of a recovery.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) stop: Stop,
    pub(crate) exclusive: bool,
    pub(crate) timeline: u32,
    pub(crate) action: TargetAction,
    pub(crate) restore_command: String,
    /// Whether the server archives as it did.
    pub(crate) archives: bool,
    /// The target in the words that it was asked for.
    pub(crate) wanted: String,
}

/// The settings of which one at most may be set. What the cluster had of an earlier recovery must not hold.
const TARGETS: [&str; 5] = [
    "recovery_target",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_xid",
];

impl Settings {
    /// The lines for `postgresql.auto.conf`, which the server reads last, wherever `postgresql.conf` is.
    pub(crate) fn lines(&self) -> String {
        let target = match &self.stop {
            // Digits, so that it means the same in whatever time zone the server is.
            Stop::Time(time) => Some((
                "recovery_target_time",
                time.format("%Y-%m-%d %H:%M:%S%.6f+00").to_string(),
            )),
            Stop::Lsn(lsn) => Some(("recovery_target_lsn", lsn.to_string())),
            Stop::End => None,
        };
        let mut lines = format!(
            "\n# Set by restore-stream: recovery to {}. They mean nothing once the server has recovered.\n",
            self.wanted
        );
        let mut set = |name: &str, value: &str| {
            let _ = writeln!(lines, "{name} = {}", quoted(value));
        };
        set("restore_command", &self.restore_command);
        // Before the one that holds: each of them takes back what was set before it.
        for name in TARGETS {
            if target.as_ref().is_none_or(|(it, _)| *it != name) {
                set(name, "");
            }
        }
        set("recovery_target_timeline", &self.timeline.to_string());
        set(
            "recovery_target_inclusive",
            if self.exclusive { "off" } else { "on" },
        );
        set("recovery_target_action", self.action.word());
        if let Some((name, value)) = &target {
            set(name, value);
        }
        if !self.archives {
            lines.push_str(
                "# So that it does not write into the store that it came from. ALTER SYSTEM RESET archive_mode ends it.\narchive_mode = 'off'\n",
            );
        }
        lines
    }
}

/// A text as PostgreSQL's configuration files have it (`guc-file.l`).
fn quoted(text: &str) -> String {
    let mut quoted = String::from("'");
    for char in text.chars() {
        match char {
            '\'' => quoted.push_str("''"),
            '\\' => quoted.push_str("\\\\"),
            char => quoted.push(char),
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(stop: Stop) -> Settings {
        Settings {
            stop,
            exclusive: false,
            timeline: 3,
            action: TargetAction::Promote,
            restore_command: r"restore-stream '/a b\c' --wal %f".into(),
            archives: false,
            wanted: "somewhere".into(),
        }
    }

    #[test]
    fn a_moment_has_a_zone_and_is_the_last_target() {
        let time = DateTime::from_timestamp_micros(1_763_863_170_000_001).unwrap();
        let lines = settings(Stop::Time(time)).lines();
        let set: Vec<&str> = lines.lines().filter(|it| it.contains(" = ")).collect();
        assert_eq!(
            set,
            [
                r"restore_command = 'restore-stream ''/a b\\c'' --wal %f'",
                "recovery_target = ''",
                "recovery_target_lsn = ''",
                "recovery_target_name = ''",
                "recovery_target_xid = ''",
                "recovery_target_timeline = '3'",
                "recovery_target_inclusive = 'on'",
                "recovery_target_action = 'promote'",
                "recovery_target_time = '2025-11-23 01:59:30.000001+00'",
                "archive_mode = 'off'",
            ]
        );
    }

    #[test]
    fn the_end_has_no_target() {
        let lines = Settings {
            archives: true,
            ..settings(Stop::End)
        }
        .lines();
        for name in TARGETS {
            assert!(lines.contains(&format!("\n{name} = ''\n")), "{lines}");
        }
        assert!(!lines.contains("archive_mode"), "{lines}");
    }
}
