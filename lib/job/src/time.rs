//! Moments and durations as people write them on a command line.

use chrono::{DateTime, Local, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc};

/// Reads a moment: `2025-11-23T02:00:00Z`, with an offset (`+01:00`), or without a zone (then it is the
/// local zone's: `TZ`), the `T` or a space between, seconds and the time itself may be missing.
///
/// # Errors
/// Says which forms are understood.
pub fn parse(text: &str) -> Result<DateTime<Utc>, String> {
    let text = text.trim();
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

/// Reads a duration: a number and `s`, `m`, `h`, `d` or `w` (`36h`, `90s`, `7d`).
///
/// # Errors
/// Says which forms are understood.
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
    TimeDelta::try_seconds(i64::from(number) * seconds).ok_or_else(wrong)
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
        for text in ["", "h", "36", "-1h", "1.5h", "1y", "99999999999h", "1é"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
