/// The line that makes psql connect to another database of the same server, as pg_dump writes it for
/// the oddest names. A name with a line end in it cannot be written.
pub fn connect_line(database: impl AsRef<[u8]>) -> Vec<u8> {
    let mut line = b"\\connect -reuse-previous=on \"dbname='".to_vec();
    for byte in database.as_ref() {
        match byte {
            b'\\' | b'\'' => line.push(b'\\'),
            b'"' => line.push(b'"'),
            _ => {}
        }
        line.push(*byte);
    }
    line.extend_from_slice(b"'\"\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Command, command};

    #[test]
    fn odd_names_come_back() {
        for name in [
            "a", "a b", "a'b", "a\"b", "a\\b", "\\", "'", "\"", "a=b", "ö:x`y`",
        ] {
            let line = connect_line(name);
            assert_eq!(command(&line), Command::Connect(name.into()));
        }
        let name = &b"gr\xf6\xdf'\xe9"[..];
        assert_eq!(command(&connect_line(name)), Command::Connect(name.into()));
    }
}
