use pg_text::PgText;

/// A command of psql's own, as dumps have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `\connect` to this database of the same server, as the same role.
    Connect(PgText),
    /// `\restrict KEY`: from here on psql takes no command but the next.
    Restrict(String),
    /// `\unrestrict KEY`.
    Unrestrict(String),
    /// `\encoding NAME`: the encoding that psql speaks with the server.
    Encoding(String),
    /// Anything else, by the command's name: no dump has it.
    Other(PgText),
}

/// Reads a command's line.
pub fn command(line: &[u8]) -> Command {
    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let length = line.iter().rposition(|byte| !is_end(byte));
    let line = &line[..length.map_or(0, |at| at + 1)];
    // What stands behind a COPY, or goes on a line that is too long, is none.
    let Some(line) = line.strip_prefix(b"\\") else {
        return Command::Other(PgText::default());
    };
    let length = line.iter().position(|byte| ends_name(*byte));
    let (name, rest) = line.split_at(length.unwrap_or(line.len()));
    known(name, rest).unwrap_or_else(|| Command::Other(name.into()))
}

fn known(name: &[u8], rest: &[u8]) -> Option<Command> {
    let arguments = arguments(rest)?;
    let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
    match (name, arguments.as_slice()) {
        (b"connect" | b"c", [database] | [b"-reuse-previous=on", database]) => {
            connect(database).map(Command::Connect)
        }
        (b"restrict", [key]) => plain(key).map(Command::Restrict),
        (b"unrestrict", [key]) => plain(key).map(Command::Unrestrict),
        (b"encoding", [name]) => plain(name).map(Command::Encoding),
        _ => None,
    }
}

/// psql's own white space, not Unicode's; the vertical tab is some of it since psql 16.
fn ends_name(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'\x0b' | b'\\')
}

/// A word of letters, digits, `_` and `-`.
fn plain(word: &[u8]) -> Option<String> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let plain = word.iter().all(is_plain);
    plain.then(|| word.iter().copied().map(char::from).collect())
}

/// The arguments by psql's rules for names (`psqlscanslash.l`): between double quotes all but the quote
/// is itself. None if psql would do more with them than take them as they are: run a shell (`` ` ``), put
/// in a variable (`:`), or read on (`\`).
fn arguments(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut arguments = Vec::new();
    let mut bytes = text.iter().copied().peekable();
    loop {
        while bytes.next_if(u8::is_ascii_whitespace).is_some() {}
        if bytes.peek().is_none() {
            return Some(arguments);
        }
        let mut argument = Vec::new();
        let mut quoted = false;
        while let Some(byte) = bytes.next_if(|byte| quoted || !byte.is_ascii_whitespace()) {
            match byte {
                b'"' if quoted && bytes.next_if_eq(&b'"').is_some() => argument.push(b'"'),
                b'"' => quoted = !quoted,
                b'`' | b':' | b'\\' | b'\'' | b'|' | b'\x0b' if !quoted => return None,
                _ => argument.push(byte),
            }
        }
        if quoted {
            return None;
        }
        arguments.push(argument);
    }
}

/// The database of `\connect`'s argument: a name, or a connection string that gives nothing else.
fn connect(argument: &[u8]) -> Option<PgText> {
    if matches!(argument, b"" | b"-") {
        return None;
    }
    if argument.starts_with(b"postgres://") || argument.starts_with(b"postgresql://") {
        return None;
    }
    if !argument.contains(&b'=') {
        return Some(argument.into());
    }
    let value = argument.trim_ascii().strip_prefix(b"dbname")?;
    let value = value.trim_ascii_start().strip_prefix(b"=")?;
    let value = value.trim_ascii_start();
    let (open, value) = match value.strip_prefix(b"'") {
        Some(value) => (false, value.strip_suffix(b"'")?),
        None => (true, value),
    };
    let mut database = Vec::new();
    let mut bytes = value.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => database.push(bytes.next()?),
            b'\'' => return None,
            byte if open && byte.is_ascii_whitespace() => return None,
            byte => database.push(byte),
        }
    }
    Some(database.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(line: &str) -> Option<PgText> {
        match command(line.as_bytes()) {
            Command::Connect(database) => Some(database),
            _ => None,
        }
    }

    #[test]
    fn connections() {
        for (line, database) in [
            ("\\connect shop\n", "shop"),
            ("\\connect Shop\n", "Shop"),
            ("\\c shop", "shop"),
            ("\\connect \"a b\"\n", "a b"),
            ("\\connect \"a\"\"b\"\r\n", "a\"b"),
            ("\\connect -reuse-previous=on \"dbname='a b'\"\n", "a b"),
            ("\\connect -reuse-previous=on \"dbname='a=b'\"\n", "a=b"),
            (
                r#"\connect -reuse-previous=on "dbname='a\\b\'c""d'""#,
                r#"a\b'c"d"#,
            ),
            ("\\connect dbname=shop\n", "shop"),
        ] {
            assert_eq!(to(line), Some(database.into()), "{line}");
        }
    }

    #[test]
    fn what_would_do_more_than_connect_is_something_else() {
        for line in [
            "\\connect `id`\n",
            "\\connect :x\n",
            "\\connect a \\! id\n",
            "\\connect a b\n",
            "\\connect -\n",
            "\\connect\n",
            "\\connect \"open\n",
            "\\connect \"dbname=a host=b\"\n",
            "\\connect -reuse-previous=on \"dbname='a' host='b'\"\n",
            "\\connect postgresql://x/y\n",
            "\\connectx a\n",
            "\\connect\u{a0}a\n",
            "\\connect\u{3000}a\n",
            "\\connect\\a\n",
            "\\connect\x0ba\n",
            "\\connect a\x0bb\n",
            "connect a\n",
            " \\connect a\n",
        ] {
            assert_eq!(to(line), None, "{line}");
        }
        assert_eq!(command(b"\\! id\n"), Command::Other("!".into()));
        assert_eq!(command(b"\\o |id\n"), Command::Other("o".into()));
        assert_eq!(
            command(b"\\restrict `id`\n"),
            Command::Other("restrict".into())
        );
    }

    #[test]
    fn a_name_is_bytes() {
        for line in [
            &b"\\connect \"gr\xf6\xdfe\"\n"[..],
            b"\\connect -reuse-previous=on \"dbname='gr\xf6\xdfe'\"\n",
        ] {
            let name = PgText::from(&b"gr\xf6\xdfe"[..]);
            assert_eq!(command(line), Command::Connect(name));
        }
        assert_eq!(
            command(b"\\restrict k\xe9y\n"),
            Command::Other("restrict".into())
        );
    }

    #[test]
    fn keys_and_encodings() {
        assert_eq!(
            command(b"\\restrict aB1\n"),
            Command::Restrict("aB1".into())
        );
        assert_eq!(
            command(b"\\unrestrict aB1\n"),
            Command::Unrestrict("aB1".into())
        );
        assert_eq!(
            command(b"\\encoding SQL_ASCII\n"),
            Command::Encoding("SQL_ASCII".into())
        );
    }
}
