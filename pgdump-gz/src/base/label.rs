//! `backup_label`, the first file of a base backup (`xlogbackup.c`, `build_backup_content`).

use backup_file::parse_lsn;

/// What it says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Label {
    /// Where recovery begins.
    pub(crate) start: u64,
    pub(crate) timeline: u32,
    pub(crate) from_standby: bool,
}

impl Label {
    /// Reads it; none if it does not say all of this.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(text);
        let value = |key: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
        };
        let start = value("START WAL LOCATION")?.split(' ').next()?;
        Some(Self {
            start: parse_lsn(start)?,
            timeline: value("START TIMELINE")?.parse().ok()?,
            from_standby: value("BACKUP FROM")? == "standby",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_postgresql_writes_it() {
        let text = b"START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n\
                     CHECKPOINT LOCATION: 0/2000060\n\
                     BACKUP METHOD: streamed\n\
                     BACKUP FROM: primary\n\
                     START TIME: 2026-11-30 05:52:42 UTC\n\
                     LABEL: gr\xf6\xdfe: START TIMELINE: 7\n\
                     START TIMELINE: 1\n";
        let label = Label::parse(text).unwrap();
        let wanted = Label {
            start: 0x200_0028,
            timeline: 1,
            from_standby: false,
        };
        assert_eq!(label, wanted);
        let standby = String::from_utf8_lossy(text).replace("primary", "standby");
        assert!(Label::parse(standby.as_bytes()).unwrap().from_standby);
        assert_eq!(Label::parse(&text[..100]), None);
    }
}
