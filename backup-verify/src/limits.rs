use chrono::TimeDelta;
use clap::{ArgGroup, Args};
use job::text::parse_bytes;
use job::time::parse_duration;
use retention::Policy;

/// Thresholds that a store is checked against.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("policy")
    .args(["keep_days", "keep_weekly", "keep_monthly"])
    .multiple(true))]
pub(crate) struct Limits {
    /// Age limit of the newest data
    ///
    /// Those of a standby's dump are older than the dump.
    #[arg(
        long,
        value_name = "AGE",
        default_value = "36h",
        value_parser = parse_duration,
        help_heading = "Limits of a store"
    )]
    pub(crate) max_age: TimeDelta,

    /// Age limit of the newest base backup
    #[arg(
        long,
        value_name = "AGE",
        default_value = "9d",
        value_parser = parse_duration,
        hide_short_help = true,
        help_heading = "WAL archive"
    )]
    pub(crate) max_base_age: TimeDelta,

    /// How far the WAL archive may be behind the server
    ///
    /// Without --dbname: how old its newest segment may be before that is a warning.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "5m",
        value_parser = parse_duration,
        hide_short_help = true,
        help_heading = "WAL archive"
    )]
    pub(crate) max_lag: TimeDelta,

    /// Allowed shrinkage of a backup
    ///
    /// Of the newest one, against the median of the 7 backups before it, per database too. The same growth
    /// is a warning.
    #[arg(
        long,
        value_name = "PCT",
        default_value = "50%",
        value_parser = percent,
        help_heading = "Limits of a store"
    )]
    pub(crate) max_size_change: f64,

    /// Allowed use of disk or quota
    ///
    /// The disk is the file system of a directory.
    #[arg(
        long,
        value_name = "PCT",
        default_value = "80%",
        value_parser = percent,
        help_heading = "Limits of a store"
    )]
    pub(crate) max_used: f64,

    /// Space for all backups, e.g. 500G or 2T
    ///
    /// --max-used is a share of it.
    #[arg(
        long,
        value_name = "SIZE",
        value_parser = size,
        help_heading = "Limits of a store"
    )]
    pub(crate) quota: Option<u64>,

    /// Interval between backups
    #[arg(
        long,
        value_name = "TIME",
        default_value = "1d",
        value_parser = schedule,
        hide_short_help = true,
        help_heading = "Limits of a store"
    )]
    pub(crate) every: TimeDelta,

    /// How many of the last 7 backups may be missing
    ///
    /// [default: any missing one is a warning]
    #[arg(
        long,
        value_name = "N",
        hide_short_help = true,
        help_heading = "Limits of a store"
    )]
    pub(crate) max_missed: Option<u32>,

    /// Warn if the token expires within this time
    #[arg(
        long,
        value_name = "TIME",
        default_value = "30d",
        value_parser = parse_duration,
        hide_short_help = true,
        help_heading = "Limits of a store"
    )]
    pub(crate) warn_expiry: TimeDelta,

    /// --keep-days that blob-prune runs with
    ///
    /// Backups that blob-prune should have deleted two days ago are reported.
    #[arg(long, value_name = "N", help_heading = "Retention")]
    pub(crate) keep_days: Option<u32>,

    /// --keep-weekly that blob-prune runs with
    #[arg(
        long,
        value_name = "N",
        hide_short_help = true,
        help_heading = "Retention"
    )]
    pub(crate) keep_weekly: Option<u32>,

    /// --keep-monthly that blob-prune runs with
    #[arg(
        long,
        value_name = "N",
        hide_short_help = true,
        help_heading = "Retention"
    )]
    pub(crate) keep_monthly: Option<u32>,

    /// --keep-min that blob-prune runs with
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3,
        requires = "policy",
        hide_short_help = true,
        help_heading = "Retention"
    )]
    pub(crate) keep_min: u32,
}

impl Limits {
    /// What blob-prune is said to keep, if that is said.
    pub(crate) fn policy(&self) -> Option<Policy> {
        let [days, weekly, monthly] = [self.keep_days, self.keep_weekly, self.keep_monthly];
        days.or(weekly).or(monthly)?;
        Some(Policy {
            days: days.unwrap_or(0),
            min: self.keep_min,
            weekly: weekly.unwrap_or(0),
            monthly: monthly.unwrap_or(0),
        })
    }
}

/// `50%` or `50`, as 0.5.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim_end();
    let number: u16 = number
        .parse()
        .map_err(|_| format!("'{text}' is no percentage; write it like 50%"))?;
    Ok(f64::from(number) / 100.0)
}

/// A number of bytes with `M`, `G` or `T` (of 1024).
fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no size; write it like 500M, 100G or 2T");
    parse_bytes(text).filter(|size| *size > 0).ok_or_else(wrong)
}

fn schedule(text: &str) -> Result<TimeDelta, String> {
    match parse_duration(text)? {
        every if every >= TimeDelta::minutes(1) => Ok(every),
        _ => Err("a backup every minute is the most".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages() {
        assert_eq!(percent("50%"), Ok(0.5));
        assert_eq!(percent("0"), Ok(0.0));
        assert_eq!(percent("250 %"), Ok(2.5));
        for text in ["", "%", "-1%", "half", "1.5%"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("500M"), Ok(500 << 20));
        assert_eq!(size("2t"), Ok(2 << 40));
        for text in ["", "5", "M", "0G", "1.5G", "5é"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn schedules() {
        assert_eq!(schedule("12h"), Ok(TimeDelta::hours(12)));
        assert!(schedule("0d").is_err() && schedule("59s").is_err());
    }
}
