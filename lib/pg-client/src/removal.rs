//! Dropping a database, and what may stand in the way of that.

use std::time::Duration;

use pg_text::PgText;

use crate::{NEUTRAL_SETTINGS, quote_ident, quote_literal, sql};

/// Takes away, within a database, what keeps it from being dropped and may have come with its dump: that it is a
/// template, subscriptions (that were never active: their slots belong to the database that was dumped), and event
/// triggers that would forbid to take these away.
///
/// **Only for a database that is dropped next**: its largest tables go first. DROP DATABASE makes a checkpoint, and a
/// server whose disk is full to the last byte ends in a panic when it must write one. DROP TABLE writes no file, and
/// gives the room back at once.
///
/// A table that somebody holds a lock on is left to the drop, which disconnects them.
pub const RELEASE: &str = "\
SET default_transaction_read_only = off;
SET lock_timeout = '1s';
SET client_min_messages = error;
SET search_path = pg_catalog;
DO $$DECLARE called name;
BEGIN
  FOR called IN SELECT evtname FROM pg_event_trigger WHERE evtenabled <> 'D' LOOP
    EXECUTE format('ALTER EVENT TRIGGER %I DISABLE', called);
  END LOOP;
EXCEPTION WHEN insufficient_privilege THEN NULL;
END$$;
DO $$DECLARE large text;
BEGIN
  FOR large IN SELECT oid::pg_catalog.regclass FROM pg_catalog.pg_class WHERE relkind = 'r' AND oid >= 16384
    ORDER BY pg_catalog.pg_total_relation_size(oid) DESC LIMIT 20 LOOP
    BEGIN
      EXECUTE 'DROP TABLE IF EXISTS ' || large || ' CASCADE';
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
  END LOOP;
END$$;
DO $$DECLARE subscription name;
BEGIN
  EXECUTE pg_catalog.format('ALTER DATABASE %I IS_TEMPLATE false', pg_catalog.current_database());
  FOR subscription IN SELECT s.subname FROM pg_catalog.pg_subscription AS s
    JOIN pg_catalog.pg_database AS d ON d.oid = s.subdbid WHERE d.datname = pg_catalog.current_database() LOOP
    EXECUTE pg_catalog.format('ALTER SUBSCRIPTION %I DISABLE', subscription);
    EXECUTE pg_catalog.format('ALTER SUBSCRIPTION %I SET (slot_name = NONE)', subscription);
    EXECUTE pg_catalog.format('DROP SUBSCRIPTION %I', subscription);
  END LOOP;
END$$;";

/// Lets a database be connected to: one that was closed, to be renamed or dropped, and is neither.
///
/// Nothing happens to a database that is not there, and to one whose drop was interrupted: the server ends a session
/// that tries to alter that.
pub fn open_database(name: impl AsRef<[u8]>) -> PgText {
    altered(name.as_ref(), "ALLOW_CONNECTIONS true")
}

/// Drops a database, whoever is connected to it; not one that is not there.
///
/// Nobody new gets in, those who are in it are disconnected, and those who may not be (a superuser's sessions, by a
/// role that is none) are waited for. If it cannot be dropped all the same, it stays closed: [`open_database`].
pub fn drop_database(name: impl AsRef<[u8]>) -> PgText {
    let name = name.as_ref();
    let close = altered(name, "ALLOW_CONNECTIONS false IS_TEMPLATE false");
    let vacate = vacate(&[name], DROP_PATIENCE);
    let name = quote_ident(name);
    sql(
        "{}SET client_min_messages = error;\n{}{}DROP DATABASE IF EXISTS {} WITH (FORCE);\n",
        &[&NEUTRAL_SETTINGS.into(), &close, &vacate, &name],
    )
}

/// How long a drop waits for those who cannot be disconnected.
const DROP_PATIENCE: Duration = Duration::from_secs(5);

/// Disconnects whoever is connected to a database, as far as this role may, and does not wait for anything.
///
/// Not autovacuum, which has no role: it gives way by itself.
pub fn disconnect(name: impl AsRef<[u8]>) -> PgText {
    let disconnect = terminate(&[name]);
    block(&sql(
        "DECLARE stranger record; place name;\nBEGIN\n{}END",
        &[&disconnect],
    ))
}

/// Disconnects whoever is connected to the databases, as [`disconnect`] does, and waits for all to leave. Somebody who
/// is still there after `patience` is an error of SQL (55006, object_in_use).
///
/// Who has left stays away only if the databases are closed.
pub fn vacate<N: AsRef<[u8]>>(names: &[N], patience: Duration) -> PgText {
    let looks = (patience.as_millis() / 50).max(1);
    let disconnect = terminate(names);
    block(&sql(
        "DECLARE stranger record; place name;
BEGIN
  FOR look IN 1..{} LOOP
    place := NULL;
{}    EXIT WHEN place IS NULL;
    PERFORM pg_catalog.pg_sleep(0.05);
    PERFORM pg_catalog.pg_stat_clear_snapshot();
  END LOOP;
  IF place IS NOT NULL THEN
    RAISE EXCEPTION 'database \"%\" is being accessed by other users', place USING ERRCODE = 'object_in_use';
  END IF;
END",
        &[&looks.to_string().into(), &disconnect],
    ))
}

/// Leaves the name of a database that somebody is connected to in `place`.
fn terminate<N: AsRef<[u8]>>(names: &[N]) -> PgText {
    let names = PgText::join(names.iter().map(quote_literal), ", ");
    sql(
        "    FOR stranger IN SELECT pid, datname FROM pg_catalog.pg_stat_activity
     WHERE datname IN ({}) AND usesysid IS NOT NULL AND pid <> pg_catalog.pg_backend_pid() LOOP
      place := stranger.datname;
      BEGIN
        PERFORM pg_catalog.pg_terminate_backend(stranger.pid);
      EXCEPTION WHEN insufficient_privilege THEN NULL;
      END;
    END LOOP;
",
        &[&names],
    )
}

fn altered(name: &[u8], options: &str) -> PgText {
    let alter = sql(
        "ALTER DATABASE {} {}",
        &[&quote_ident(name), &options.into()],
    );
    let (alter, name) = (quote_literal(alter), quote_literal(name));
    block(&sql(
        "BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = {} AND datconnlimit <> -2) THEN
    EXECUTE {};
  END IF;
EXCEPTION WHEN OTHERS THEN NULL;
END",
        &[&name, &alter],
    ))
}

/// A DO command. Its body is a string constant: any name may be in it, and no dollar tag has to be found for it.
fn block(body: &PgText) -> PgText {
    sql("DO {};\n", &[&quote_literal(body)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_can_be_in_a_block() {
        for name in ["a$$b", "it's", "back\\slash", "\"quoted\""] {
            let sql = open_database(name).to_string();
            assert!(sql.starts_with("DO ") && sql.ends_with("';\n"), "{sql}");
        }
        let vacate = |names: &[&str], patience| vacate(names, patience).to_string();
        assert!(vacate(&["a", "b"], Duration::from_secs(1)).contains("(''a'', ''b'')"));
        assert!(vacate(&["a"], Duration::ZERO).contains("1..1 "));
    }
}
