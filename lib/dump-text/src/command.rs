/// A command of psql's own, as dumps have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `\connect` to this database of the same server, as the same role.
    Connect(String),
    /// `\restrict KEY`: from here on psql takes no command but the next.
    Restrict(String),
    /// `\unrestrict KEY`.
    Unrestrict(String),
    /// `\encoding NAME`: the encoding that psql speaks with the server.
    Encoding(String),
    /// Anything else, by the command's name: no dump has it.
    Other(String),
}

/// Reads a command's line.
pub fn command(line: &[u8]) -> Command {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches(['\n', '\r']);
    // What stands behind a COPY, or goes on a line that is too long, is none.
    let Some(text) = text.strip_prefix('\\') else {
        return Command::Other(String::new());
    };
    let (name, rest) = text.split_at(text.find(ends_name).unwrap_or(text.len()));
    known(name, rest).unwrap_or_else(|| Command::Other(name.to_owned()))
}

fn known(name: &str, rest: &str) -> Option<Command> {
    let arguments = arguments(rest)?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match (name, arguments.as_slice()) {
        ("connect" | "c", [database] | ["-reuse-previous=on", database]) => {
            connect(database).map(Command::Connect)
        }
        ("restrict", [key]) if is_plain(key) => Some(Command::Restrict((*key).into())),
        ("unrestrict", [key]) if is_plain(key) => Some(Command::Unrestrict((*key).into())),
        ("encoding", [name]) if is_plain(name) => Some(Command::Encoding((*name).into())),
        _ => None,
    }
}

/// psql's own white space, not Unicode's; the vertical tab is some of it since psql 16.
fn ends_name(c: char) -> bool {
    c.is_ascii_whitespace() || matches!(c, '\x0b' | '\\')
}

fn is_plain(word: &str) -> bool {
    word.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// The arguments by psql's rules for names (`psqlscanslash.l`): between double quotes all but the quote
/// is itself. None if psql would do more with them than take them as they are: run a shell (`` ` ``), put
/// in a variable (`:`), or read on (`\`).
fn arguments(text: &str) -> Option<Vec<String>> {
    let mut arguments = Vec::new();
    let mut characters = text.chars().peekable();
    loop {
        while characters.next_if(char::is_ascii_whitespace).is_some() {}
        if characters.peek().is_none() {
            return Some(arguments);
        }
        let mut argument = String::new();
        let mut quoted = false;
        while let Some(c) = characters.next_if(|c| quoted || !c.is_ascii_whitespace()) {
            match c {
                '"' if quoted && characters.next_if_eq(&'"').is_some() => argument.push('"'),
                '"' => quoted = !quoted,
                '`' | ':' | '\\' | '\'' | '|' | '\x0b' if !quoted => return None,
                _ => argument.push(c),
            }
        }
        if quoted {
            return None;
        }
        arguments.push(argument);
    }
}

/// The database of `\connect`'s argument: a name, or a connection string that gives nothing else.
fn connect(argument: &str) -> Option<String> {
    if argument.is_empty() || argument == "-" {
        return None;
    }
    if argument.starts_with("postgres://") || argument.starts_with("postgresql://") {
        return None;
    }
    if !argument.contains('=') {
        return Some(argument.to_owned());
    }
    let value = argument.trim().strip_prefix("dbname")?.trim_start();
    let value = value.strip_prefix('=')?.trim_start();
    let (open, value) = match value.strip_prefix('\'') {
        Some(value) => (false, value.strip_suffix('\'')?),
        None => (true, value),
    };
    let mut database = String::new();
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => database.push(characters.next()?),
            '\'' => return None,
            c if open && c.is_ascii_whitespace() => return None,
            c => database.push(c),
        }
    }
    Some(database)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(line: &str) -> Option<String> {
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
            assert_eq!(to(line).as_deref(), Some(database), "{line}");
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
