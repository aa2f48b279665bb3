//! What a run takes back when it fails.

use pg_client::{RELEASE, UNHINDERED, drop_database, quote_ident, quote_literal};

use crate::sessions::OBJECTS;

/// Something that was begun, and how it is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Undo {
    /// A database was created under this name. If it got another one before it was filled, that is given back first.
    Drop(String, Option<Taken>),
    /// Large objects of a database that had none were committed before all else of it.
    Unlink(String),
    /// A database that was empty is filled, and cannot be emptied: that is said.
    Partial(String),
}

/// The name that a database got before it was filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    /// By this number it is known whether it has got it.
    pub(crate) oid: String,
    pub(crate) name: String,
    /// What the empty one that had the name is called until then.
    pub(crate) old: Option<String>,
}

impl Undo {
    /// The database whose sessions must have ended, if it is one to be dropped.
    pub(crate) fn dropped(&self) -> Option<&str> {
        match self {
            Self::Drop(name, _) => Some(name),
            _ => None,
        }
    }

    /// Whether it is about a database that was there.
    pub(crate) fn is_in_place(&self, database: &str) -> bool {
        matches!(self, Self::Unlink(name) | Self::Partial(name) if name == database)
    }

    /// How it is taken back, in this order. What fails does not keep the rest from being tried.
    pub(crate) fn steps(&self, maintenance: &str) -> Vec<Step> {
        let step = |database: &str, sql: String| Step {
            database: database.to_owned(),
            sql,
            needed: true,
        };
        match self {
            Self::Drop(name, taken) => {
                let back = taken.iter().map(|it| step(maintenance, it.back(name)));
                let release = Step {
                    needed: false,
                    ..step(name, RELEASE.to_owned())
                };
                let drop = step(maintenance, drop_database(name));
                back.chain([release, drop]).collect()
            }
            Self::Unlink(database) => vec![step(database, unlink())],
            Self::Partial(_) => Vec::new(),
        }
    }

    /// What is left if a step fails.
    pub(crate) fn left(&self) -> String {
        match self {
            Self::Drop(name, None) => {
                format!("cannot drop '{name}', which is not whole (the next restore will)")
            }
            Self::Drop(name, Some(taken)) => format!(
                "cannot drop '{name}', which is not whole, and may be called '{}'",
                taken.name
            ),
            Self::Unlink(database) => {
                format!("cannot remove the large objects from '{database}', which had none")
            }
            Self::Partial(database) => partial(database),
        }
    }
}

/// What is said in a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) database: String,
    pub(crate) sql: String,
    /// Whether nothing is left only if it succeeds.
    pub(crate) needed: bool,
}

impl Taken {
    /// Gives the name back: to the empty database that had it.
    fn back(&self, working: &str) -> String {
        let rename = |from: &str, to: &str| {
            let sql = format!(
                "ALTER DATABASE {} RENAME TO {}",
                quote_ident(from),
                quote_ident(to)
            );
            format!("EXECUTE {};\n", quote_literal(&sql))
        };
        let old = self.old.as_ref();
        let old = old.map(|old| rename(old, &self.name)).unwrap_or_default();
        let (oid, name) = (quote_literal(&self.oid), quote_literal(&self.name));
        let block = format!(
            "BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_database WHERE oid = {oid} AND datname = {name}) THEN
    BEGIN
      PERFORM pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
       WHERE datname = {name} AND usesysid IS NOT NULL;
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END;
    {}{old}
  END IF;
END",
            rename(&self.name, working)
        );
        format!("{UNHINDERED}DO {};\n", quote_literal(&block))
    }
}

/// Removes all large objects, some at a time: each takes a lock. Not if there is anything else, which was committed then.
fn unlink() -> String {
    let all = OBJECTS.trim_end().trim_end_matches(';');
    let block = format!(
        "BEGIN
  IF ({all}) > (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata) THEN
    RETURN;
  END IF;
  LOOP
    PERFORM pg_catalog.lo_unlink(oid) FROM (SELECT oid FROM pg_catalog.pg_largeobject_metadata LIMIT 200) AS batch;
    EXIT WHEN NOT FOUND;
    COMMIT;
  END LOOP;
END"
    );
    format!("{UNHINDERED}DO {};\n", quote_literal(&block))
}

/// What is to be known, and done, about a database that holds a part of a backup.
fn partial(database: &str) -> String {
    let other = match database {
        "template1" => "postgres",
        _ => "template1",
    };
    let name = quote_ident(database);
    let again = match database {
        "template1" => format!(
            "ALTER DATABASE {name} IS_TEMPLATE false; DROP DATABASE {name} WITH (FORCE); CREATE DATABASE {name} TEMPLATE template0 IS_TEMPLATE true;"
        ),
        _ => {
            format!("DROP DATABASE {name} WITH (FORCE); CREATE DATABASE {name} TEMPLATE template0;")
        }
    };
    format!(
        "'{database}' was empty, and holds a part of the backup now; to empty it, statement by statement in '{other}': {again}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_given_back_before_its_database_goes() {
        let taken = Taken {
            oid: "17000".into(),
            name: "it's".into(),
            old: Some("old".into()),
        };
        let steps = Undo::Drop("w".into(), Some(taken)).steps("m");
        let places: Vec<&str> = steps.iter().map(|it| it.database.as_str()).collect();
        assert_eq!(places, ["m", "w", "m"]);
        let back = &steps[0].sql;
        assert!(
            back.find("RENAME TO \"w\"") < back.find("RENAME TO \"it"),
            "{back}"
        );
        assert_eq!(Undo::Drop("w".into(), None).steps("m").len(), 2);
        assert_eq!(Undo::Partial("m".into()).steps("m"), []);
    }

    #[test]
    fn whoever_reads_it_knows_what_to_do() {
        let said = Undo::Partial("postgres".into()).left();
        assert!(
            said.contains("in 'template1': DROP DATABASE \"postgres\""),
            "{said}"
        );
        let said = Undo::Partial("template1".into()).left();
        assert!(said.contains("in 'postgres': ALTER DATABASE"), "{said}");
    }
}
