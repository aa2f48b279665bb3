//! The settings that each session begins with, so that nothing that a server, a database or a role sets for whoever
//! connects changes what is restored, or who restores it.

/// Sets what pg_dump takes for granted when its output is read, and takes away what would end the session early
/// (PostgreSQL documentation, chapter 20). A setting that this server does not know, or that only a superuser
/// may change, is passed over.
///
/// Whoever connects may have been made another role (`ALTER DATABASE … SET role`): that is taken back. A role that
/// was asked for with `PGOPTIONS` is kept.
pub const NEUTRAL_SETTINGS: &str = "\
SET statement_timeout = 0;
SET search_path = pg_catalog;
SET default_transaction_read_only = off;
SELECT set_config('role', 'none', false) FROM pg_db_role_setting AS s, unnest(s.setconfig) AS said
 WHERE said = 'role=' || current_setting('role')
 AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
 AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user));
SELECT set_config(name, wanted, false) FROM pg_settings JOIN (VALUES
 ('idle_session_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),
 ('lock_timeout', '0'), ('transaction_timeout', '0'), ('temp_file_limit', '-1'),
 ('standard_conforming_strings', 'on'), ('backslash_quote', 'safe_encoding'),
 ('array_nulls', 'on'), ('transform_null_equals', 'off'),
 ('IntervalStyle', 'postgres'), ('xmloption', 'content'),
 ('session_replication_role', 'origin'), ('createrole_self_grant', ''), ('lo_compat_privileges', 'off'),
 ('default_transaction_isolation', 'read committed'), ('default_transaction_deferrable', 'off'),
 ('restrict_nonsystem_relation_kind', ''), ('client_min_messages', 'warning')
) AS assumed (name, wanted) USING (name)
 WHERE setting <> wanted
 AND (context = 'user' OR context = 'superuser' AND current_setting('is_superuser') = 'on');
RESET search_path;
";
