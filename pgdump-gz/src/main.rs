//! Dumps a PostgreSQL cluster into a backup file.

fn main() {}
