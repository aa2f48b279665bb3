//! How something that a run has begun is taken back.

use pg_client::{NEUTRAL_SETTINGS, RELEASE, drop_database, quote_ident, quote_literal, sql};
use pg_text::PgText;

use crate::server::contents::OBJECTS;

/// Something that was begun and is taken back if the run fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Undo {
    /// A database was created under this name. If it got its final name before it was filled, it gives that back first.
    Drop(String, Option<Taken>),
    /// Large objects were committed in an existing database that had none, before everything else.
    Unlink(PgText),
    /// An existing database that was empty is being filled. It cannot be emptied, so the person is told.
    Partial(PgText),
    /// One transaction fills a new table, of this name in SQL, in an existing database. It ends with its session.
    Table {
        /// The database.
        database: PgText,
        /// The table.
        name: PgText,
    },
}

/// The final name, which a database gets before it is filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The number of the new database. It shows whether that has the name.
    pub(crate) oid: String,
    pub(crate) name: PgText,
    /// The name that the empty database which had it got.
    pub(crate) old: Option<PgText>,
}

impl Undo {
    /// The database to be dropped, if any. Its sessions must have ended.
    pub(crate) fn dropped(&self) -> Option<&str> {
        match self {
            Self::Drop(name, _) => Some(name),
            _ => None,
        }
    }

    /// Whether it is about this existing database.
    pub(crate) fn is_in_place(&self, database: &PgText) -> bool {
        match self {
            Self::Drop(..) => false,
            Self::Unlink(name) | Self::Partial(name) | Self::Table { database: name, .. } => {
                name == database
            }
        }
    }

    /// The steps that take it back, in this order. All of them are tried, even after one has failed.
    pub(crate) fn steps(&self, maintenance: &PgText) -> Vec<Step> {
        let step = |database: &PgText, sql: PgText| Step {
            database: database.clone(),
            sql,
            needed: true,
        };
        match self {
            Self::Drop(name, taken) => {
                let back = taken
                    .iter()
                    .map(|it| step(maintenance, it.back(&name.as_str().into())));
                let release = Step {
                    needed: false,
                    ..step(&name.as_str().into(), RELEASE.into())
                };
                let drop = step(maintenance, drop_database(name));
                back.chain([release, drop]).collect()
            }
            Self::Unlink(database) => vec![step(database, unlink())],
            Self::Partial(_) | Self::Table { .. } => Vec::new(),
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
            Self::Table { database, name } => format!(
                "cannot end the session that fills {name} in '{database}': it may hold locks, and if {name} comes to be there, it is whole"
            ),
        }
    }
}

/// SQL, and the database to run it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) database: PgText,
    pub(crate) sql: PgText,
    /// Whether something is left behind if it fails.
    pub(crate) needed: bool,
}

impl Taken {
    /// Gives the name back to the empty database that had it.
    fn back(&self, working: &PgText) -> PgText {
        let rename = |from: &PgText, to: &PgText| {
            let names = [quote_ident(from), quote_ident(to)];
            let rename = sql("ALTER DATABASE {} RENAME TO {}", &[&names[0], &names[1]]);
            sql("EXECUTE {};\n", &[&quote_literal(&rename)])
        };
        let old = self.old.as_ref();
        let old = old.map(|old| rename(old, &self.name)).unwrap_or_default();
        let (oid, name) = (quote_literal(&self.oid), quote_literal(&self.name));
        let block = sql(
            "BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_database WHERE oid = {} AND datname = {}) THEN
    BEGIN
      PERFORM pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
       WHERE datname = {} AND usesysid IS NOT NULL;
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END;
    {}{}
  END IF;
END",
            &[&oid, &name, &name, &rename(&self.name, working), &old],
        );
        sql(
            "{}DO {};\n",
            &[&NEUTRAL_SETTINGS.into(), &quote_literal(&block)],
        )
    }
}

/// Removes all large objects, some at a time because each takes a lock. If the database holds anything else, the restore was
/// committed, and they stay.
fn unlink() -> PgText {
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
    sql(
        "{}DO {};\n",
        &[&NEUTRAL_SETTINGS.into(), &quote_literal(&block)],
    )
}

/// Tells how to empty a database that holds a part of a backup.
fn partial(database: &PgText) -> String {
    let other = match database.ascii() {
        "template1" => "postgres",
        _ => "template1",
    };
    let name = quote_ident(database);
    let again = match database.ascii() {
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
        let steps = Undo::Drop("w".into(), Some(taken)).steps(&"m".into());
        let places: Vec<&str> = steps.iter().map(|it| it.database.ascii()).collect();
        assert_eq!(places, ["m", "w", "m"]);
        let back = steps[0].sql.ascii();
        assert!(
            back.find("RENAME TO \"w\"") < back.find("RENAME TO \"it"),
            "{back}"
        );
        assert_eq!(Undo::Drop("w".into(), None).steps(&"m".into()).len(), 2);
        assert_eq!(Undo::Partial("m".into()).steps(&"m".into()), []);
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
