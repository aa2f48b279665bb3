//! The `NAME.sha256` beside a backup in a directory, as `sha256sum` writes and reads it.

/// A SHA-256 digest.
pub type Sha256 = [u8; 32];

/// The name of the file that holds a backup's SHA-256.
pub fn sidecar_name(backup: &str) -> String {
    format!("{backup}.sha256")
}

/// The line that `sha256sum` writes: digest, two spaces, name, line feed.
pub fn sidecar_line(backup: &str, digest: &Sha256) -> String {
    use std::fmt::Write;
    let mut line = String::with_capacity(66 + backup.len());
    for byte in digest {
        // Writing to a String cannot fail.
        let _ = write!(line, "{byte:02x}");
    }
    line + "  " + backup + "\n"
}

/// The digest of `backup` in a sidecar's text, if that has one.
pub fn sidecar_sha256(text: &str, backup: &str) -> Option<Sha256> {
    text.lines().find_map(|line| {
        let (hex, name) = line.split_at_checked(64)?;
        let name = name
            .strip_prefix("  ")
            .or_else(|| name.strip_prefix(" *"))?;
        (name == backup).then(|| parse_hex(hex)).flatten()
    })
}

fn parse_hex(hex: &str) -> Option<Sha256> {
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        if !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let digest: Sha256 = std::array::from_fn(|at| u8::try_from(at * 7).unwrap());
        let line = sidecar_line("a b.sql.gz", &digest);
        assert!(line.starts_with("00070e") && line.ends_with("  a b.sql.gz\n"));
        assert_eq!(sidecar_sha256(&line, "a b.sql.gz"), Some(digest));
        assert_eq!(
            sidecar_sha256(&line.replace("  a", " *a"), "a b.sql.gz"),
            Some(digest)
        );
        assert_eq!(sidecar_sha256(&line, "b.sql.gz"), None);
        assert_eq!(sidecar_sha256("", "x"), None);
        assert_eq!(
            sidecar_sha256(&format!("{}  x\n", "+1".repeat(32)), "x"),
            None
        );
    }
}
