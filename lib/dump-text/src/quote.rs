/// A name as SQL takes it in any case: `"na""me"`.
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A value as SQL takes it whatever `standard_conforming_strings` says.
pub fn quote_literal(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    match quoted.contains('\\') {
        true => format!("E'{}'", quoted.replace('\\', "\\\\")),
        false => format!("'{quoted}'"),
    }
}

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
        assert_eq!(quote_ident("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal("a\\'"), "E'a\\\\'''");
        for name in [
            "a", "a b", "a'b", "a\"b", "a\\b", "\\", "'", "\"", "a=b", "ö:x`y`",
        ] {
            let line = connect_line(name);
            assert_eq!(command(line.as_bytes()), Command::Connect(name.into()));
        }
    }
}
