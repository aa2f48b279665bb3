//! Numbers, and errors of the system, as a person reads them.

use std::time::Duration;

use indicatif::{BinaryBytes, HumanDuration};

/// A number of bytes: `812 B`, `1.40 MiB`.
pub fn bytes(bytes: u64) -> String {
    BinaryBytes(bytes).to_string()
}

/// Reads a number of bytes, written with `M`, `G` or `T` (of 1024) behind it: `500M`, `2t`.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let shift = match unit {
        "M" | "m" => 20,
        "G" | "g" => 30,
        "T" | "t" => 40,
        _ => return None,
    };
    let number: u32 = number.parse().ok()?;
    u64::from(number).checked_mul(1 << shift)
}

/// Bytes a second.
pub fn rate(bytes: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let rate = (bytes as f64 / seconds) as u64;
    format!("{}/s", self::bytes(rate))
}

/// A measured time: `0.42 s`, `37 s`, `14 minutes`.
pub fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{:.2} s", duration.as_secs_f64()),
        10..120 => format!("{} s", duration.as_secs()),
        120..7200 => format!(
            "{} min {} s",
            duration.as_secs() / 60,
            duration.as_secs() % 60
        ),
        _ => HumanDuration(duration).to_string(),
    }
}

/// A backup's age: `3 h`, `12 days`.
pub fn age(age: chrono::TimeDelta) -> String {
    match age.num_minutes() {
        ..0 => format!("{} min in the future", -age.num_minutes()),
        0..120 => format!("{} min", age.num_minutes()),
        120..2880 => format!("{} h", age.num_hours()),
        _ => format!("{} days", age.num_days()),
    }
}

/// `1 backup`, `2 backups`.
pub fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

/// The words of a system error without Rust's `(os error N)`.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!(parse_bytes("16M"), Some(16 << 20));
        assert_eq!(parse_bytes("2g"), Some(2 << 30));
        assert_eq!(parse_bytes("16777215T"), Some(16_777_215 << 40));
        for text in [
            "",
            "M",
            "5",
            "5K",
            "-5M",
            "1.5G",
            "5 G",
            "5GB",
            "5é",
            "16777216T",
        ] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn figures_are_short() {
        assert_eq!(bytes(812), "812 B");
        assert_eq!(bytes(3 << 19), "1.50 MiB");
        assert_eq!(rate(10 << 20, Duration::from_secs(2)), "5.00 MiB/s");
        assert_eq!(duration(Duration::from_millis(1234)), "1.23 s");
        assert_eq!(duration(Duration::from_secs(150)), "2 min 30 s");
        assert_eq!(age(chrono::TimeDelta::hours(30)), "30 h");
        assert_eq!(age(chrono::TimeDelta::days(9)), "9 days");
        assert_eq!(count(1, "backup"), "1 backup");
        assert_eq!(count(0, "backup"), "0 backups");
    }
}
