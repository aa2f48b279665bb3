//! Checks a backup, or a store of backups.

fn main() {}
