/// The line that makes psql connect to another database of the same server, as pg_dump writes it for
/// the oddest names. A name with a line end in it cannot be written.
pub fn connect_line(database: &str) -> String {
    let value = database.replace('\\', "\\\\").replace('\'', "\\'");
    let argument = format!("dbname='{value}'").replace('"', "\"\"");
    format!("\\connect -reuse-previous=on \"{argument}\"\n")
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
            assert_eq!(command(line.as_bytes()), Command::Connect(name.into()));
        }
    }
}
