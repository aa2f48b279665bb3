//! Deletes old backups from a directory or a container.

fn main() {}
