//! Restores a backup through psql.

fn main() {}
