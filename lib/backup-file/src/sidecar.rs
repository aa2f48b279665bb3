//! The `NAME.sha256` beside a backup in a directory, as `sha256sum` writes and reads it.

use crate::Sha256;

/// The name of the file that holds a backup's SHA-256.
pub fn sidecar_name(backup: &str) -> String {
    format!("{backup}.sha256")
}

/// The line of `sha256sum`: digest, two spaces, name, line feed.
pub fn sidecar_line(backup: &str, digest: &Sha256) -> String {
    format!("{}  {backup}\n", hex::encode(digest))
}

/// The digest that a sidecar's text gives for `backup`; none if it gives none.
pub fn sidecar_sha256(text: &str, backup: &str) -> Option<Sha256> {
    text.lines().find_map(|line| {
        let (digits, name) = line.split_at_checked(64)?;
        let name = name
            .strip_prefix("  ")
            .or_else(|| name.strip_prefix(" *"))?;
        (name == backup).then(|| digest(digits)).flatten()
    })
}

fn digest(digits: &str) -> Option<Sha256> {
    let mut digest = [0; 32];
    hex::decode_to_slice(digits, &mut digest).ok()?;
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
