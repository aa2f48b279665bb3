//! Where a dump begins and ends transactions.

use dump_text::{Token, tokens};

/// What a statement does to the transaction that it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    /// `BEGIN`, `START TRANSACTION`.
    Begin,
    /// `COMMIT`, `END`.
    Commit,
    /// `SAVEPOINT`, `RELEASE`.
    Savepoint,
    /// Control that no dump has: it takes statements back, keeps them for another session or begins a new transaction
    /// (`ROLLBACK`, `PREPARE TRANSACTION`, `COMMIT AND CHAIN`).
    Other,
}

/// The transaction control that a statement is, if it is any (PostgreSQL's grammar, `TransactionStmt`).
pub(super) fn control(statement: &[u8]) -> Option<Control> {
    let mut words = tokens(statement).map(|it| it.token);
    let Token::Word(first) = words.next()? else {
        return None;
    };
    let rest: Vec<Token> = words.take(4).collect();
    let second = |word: &str| rest.first().is_some_and(|it| it.is(word));
    match first.ascii() {
        "begin" => Some(Control::Begin),
        "start" if second("transaction") => Some(Control::Begin),
        "commit" | "end" => match second("prepared") || rest.iter().any(|it| it.is("chain")) {
            true => Some(Control::Other),
            false => Some(Control::Commit),
        },
        "savepoint" | "release" => Some(Control::Savepoint),
        "abort" | "rollback" => Some(Control::Other),
        "prepare" if second("transaction") => Some(Control::Other),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transaction_control_in_all_its_forms() {
        for (statement, wanted) in [
            ("BEGIN;", Some(Control::Begin)),
            (
                "begin isolation level serializable, read only;",
                Some(Control::Begin),
            ),
            ("START TRANSACTION;", Some(Control::Begin)),
            ("COMMIT;", Some(Control::Commit)),
            (
                "commit /* a comment that makes it longer than forty bytes */ work;",
                Some(Control::Commit),
            ),
            ("END;", Some(Control::Commit)),
            ("END TRANSACTION;", Some(Control::Commit)),
            ("-- x\nCOMMIT AND NO CHAIN;", Some(Control::Other)),
            ("COMMIT WORK AND CHAIN;", Some(Control::Other)),
            ("COMMIT PREPARED 'x';", Some(Control::Other)),
            ("ROLLBACK;", Some(Control::Other)),
            ("ABORT;", Some(Control::Other)),
            ("ROLLBACK TO SAVEPOINT a;", Some(Control::Other)),
            ("PREPARE TRANSACTION 'x';", Some(Control::Other)),
            ("SAVEPOINT a;", Some(Control::Savepoint)),
            ("RELEASE a;", Some(Control::Savepoint)),
            ("PREPARE a AS SELECT 1;", None),
            ("SET TRANSACTION READ ONLY;", None),
            ("\"begin\";", None),
            ("SELECT 1;", None),
            ("", None),
        ] {
            assert_eq!(control(statement.as_bytes()), wanted, "{statement}");
        }
    }
}
