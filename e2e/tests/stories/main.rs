//! The stories: one file for each thing that users rely on, shown on real parts. They are one program, so that they are
//! linked once and share the CPUs to the end.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what fails here fails a test"
)]

mod base_backup;
mod children;
mod clean_dumps;
mod contents;
mod crafted_backups;
mod cron_lines;
mod disguised_dumps;
mod dump;
mod encodings;
mod extensions;
mod failover;
mod foreign_backups;
mod grantors;
mod identity;
mod interop;
mod kubernetes;
mod monitoring;
mod old_dumps;
mod on_error;
mod one_database;
mod one_table;
mod one_table_faults;
mod parallel_restore;
mod parallel_restore_faults;
mod permissions;
mod places;
mod plain_tools;
mod pooler;
mod recovery;
mod recovery_test;
mod redaction;
mod restore_cuts;
mod restore_faults;
mod restore_in_place;
mod restore_odd;
mod restore_places;
mod restore_replace;
mod restore_runbook;
mod restore_test;
mod restore_test_hostile;
mod restore_test_into;
mod restore_test_names;
mod restore_test_verdict;
mod restore_versions;
mod retention;
mod round_trip;
mod sabotage;
mod scanner;
mod settings;
mod standby;
mod store_checks;
mod terminal;
mod tls;
mod transfer;
mod wal_archive;
mod wal_failover;
mod wal_restore;
mod wal_retention;
mod working_database;
