//! The clients of PostgreSQL, run as child processes.
