//! Uploads a backup to Azure Blob Storage.

fn main() {}
