//! What may stand in the way of dropping a database.

use crate::{UNHINDERED, quote_ident};

/// Takes away, within a database, what keeps it from being dropped and may have come with its dump: that it is a
/// template, subscriptions (that were never active: their slots belong to the database that was dumped), and event
/// triggers that would forbid to take these away.
///
/// **Only for a database that is dropped next**: its largest tables go first. DROP DATABASE makes a checkpoint, and a
/// server whose disk is full to the last byte ends in a panic when it must write one. DROP TABLE writes no file, and
/// gives the room back at once.
pub const RELEASE: &str = "\
SET default_transaction_read_only = off;
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

/// Drops a database, whoever is connected to it; not one that is not there.
pub fn drop_database(name: &str) -> String {
    let name = quote_ident(name);
    format!(
        "{UNHINDERED}SET client_min_messages = error;\nDROP DATABASE IF EXISTS {name} WITH (FORCE);\n"
    )
}
