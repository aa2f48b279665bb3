//! Moments and durations as people write them on a command line.

use std::time::Duration;

use chrono::{DateTime, Datelike, Local, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc};

/// The longest duration: 10,000 years, from any year of four digits, are still within the calendar.
const LONGEST: TimeDelta = TimeDelta::days(3_652_500);

/// Reads a moment: `2025-11-23T02:00:00Z`, with an offset (`+01:00`), or without a zone (then it is the
/// local zone's: `TZ`), the `T` or a space between, seconds and the time itself may be missing. Years
/// have four digits.
///
/// # Errors
/// Says which forms are understood.
pub fn parse(text: &str) -> Result<DateTime<Utc>, String> {
    let moment = any(text.trim())?;
    match moment.year() {
        1..=9999 => Ok(moment),
        _ => Err(format!(
            "'{text}' is no time of our calendar: its year has not four digits"
        )),
    }
}

fn any(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Ok(moment.to_utc());
    }
    for form in [
        "%Y-%m-%d %H:%M:%S%#z",
        "%Y-%m-%d %H:%M%#z",
        "%Y-%m-%dT%H:%M%#z",
    ] {
        if let Ok(moment) = DateTime::parse_from_str(&text.replace('Z', "+00"), form) {
            return Ok(moment.to_utc());
        }
    }
    let local = naive(text).ok_or_else(|| {
        format!("'{text}' is no time; write it like 2025-11-23T02:00:00Z or '2025-11-23 02:00'")
    })?;
    // An hour that the clocks skip does not exist; one that they repeat is the earlier.
    Local
        .from_local_datetime(&local)
        .earliest()
        .map(|moment| moment.to_utc())
        .ok_or_else(|| {
            format!("'{text}' does not exist in the local time zone; write it in UTC, with a Z")
        })
}

fn naive(text: &str) -> Option<NaiveDateTime> {
    for form in [
        "%Y-%m-%dT%H:%M:%S",
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%d %H:%M",
    ] {
        if let Ok(moment) = NaiveDateTime::parse_from_str(text, form) {
            return Some(moment);
        }
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    date.and_hms_opt(0, 0, 0)
}

/// Reads a duration: a number and `s`, `m`, `h`, `d` or `w` (`36h`, `90s`, `7d`), up to 10,000 years: so
/// it may be added to a moment.
///
/// # Errors
/// Says which forms are understood, and what is too long.
pub fn parse_duration(text: &str) -> Result<TimeDelta, String> {
    let text = text.trim();
    let wrong = || format!("'{text}' is no duration; write a number and s, m, h, d or w, like 36h");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds: i64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(wrong()),
    };
    let number: u32 = text[..text.len() - unit.len_utf8()]
        .parse()
        .map_err(|_| wrong())?;
    // A number of 32 bits times 604,800: far from overflowing.
    let duration = TimeDelta::try_seconds(i64::from(number) * seconds);
    duration
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| format!("'{text}' is longer than 10000 years"))
}

/// Reads a time to wait, written as [`parse_duration`] has it.
///
/// # Errors
/// Says which form is understood.
pub fn parse_wait(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text)?;
    duration.to_std().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    #[test]
    fn moments_with_a_zone() {
        let wanted = utc("2025-11-23T02:00:00Z");
        for text in [
            "2025-11-23T02:00:00Z",
            "2025-11-23T03:00:00+01:00",
            "2025-11-23 02:00:00Z",
            "2025-11-23 02:00Z",
            "2025-11-23T03:00+01:00",
        ] {
            assert_eq!(parse(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn moments_without_a_zone_are_local() {
        let local = Local
            .with_ymd_and_hms(2025, 11, 23, 2, 0, 0)
            .earliest()
            .unwrap();
        for text in ["2025-11-23 02:00", "2025-11-23T02:00:00"] {
            assert_eq!(parse(text), Ok(local.to_utc()), "{text}");
        }
        assert!(parse("2025-11-23").is_ok());
    }

    #[test]
    fn what_is_no_moment_is_said() {
        for text in ["", "yesterday", "2025-13-01", "2025-11-23 25:00"] {
            assert!(parse(text).unwrap_err().contains("is no time"), "{text}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("36h"), Ok(TimeDelta::hours(36)));
        assert_eq!(parse_duration("90s"), Ok(TimeDelta::seconds(90)));
        assert_eq!(parse_duration("2w"), Ok(TimeDelta::days(14)));
        assert_eq!(parse_duration("3652500d"), Ok(LONGEST));
        assert_eq!(parse_wait("15m"), Ok(Duration::from_secs(900)));
        for text in ["", "h", "36", "-1h", "1.5h", "1y", "99999999999h", "1é"] {
            assert!(parse_duration(text).is_err(), "{text}");
            assert!(parse_wait(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_no_calendar_holds_is_said() {
        for text in [
            "4294967295w",
            "4294967295d",
            "100000000d",
            "3652501d",
            "521786w",
        ] {
            let said = parse_duration(text).unwrap_err();
            assert!(said.contains("10000 years"), "{said}");
        }
        for text in [
            "+262142-12-31 23:59:59",
            "-262143-01-01",
            "+262142-12-31 23:59:59-23:59",
            "0000-01-01T00:00:00Z",
            "10000-01-01 00:00Z",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        for text in ["0001-01-02T00:00:00Z", "9999-12-31T23:59:59Z"] {
            let moment = parse(text).unwrap();
            // As far as a check reaches back, and as far as a policy may retain.
            assert!(moment.checked_sub_signed(LONGEST * 7).is_some(), "{text}");
            assert!(moment.checked_add_signed(LONGEST * 7).is_some(), "{text}");
        }
    }
}
