//! Data worth backing up.

use std::process::Stdio;

use crate::{Cluster, postgres};

/// Names of databases, each odd in its own way. A line's end is the one thing that `pg_dumpall` refuses.
pub const ODD_NAMES: [&str; 22] = [
    " ",
    " leading and trailing ",
    "!",
    "\"",
    "'",
    "$(touch owned)",
    "%d%s",
    "*",
    "-- comment",
    "--help",
    ";drop database postgres;",
    "UPPER and lower",
    "\\",
    "\\connect postgres",
    "a\"b'c\\d$e`f",
    "dbname=postgres",
    "füße 数据库 😀",
    "host=nowhere port=1",
    "postgresql://nowhere/x",
    "tab\there",
    "x/../y",
    // 63 bytes, the longest that there are.
    "sixty-three-bytes-0123456789-0123456789-0123456789-0123456789-x",
];

/// A small company: a JupyterHub, a shop, an archive, roles and grants.
///
/// # Panics
/// When it cannot be loaded.
pub fn company(cluster: &Cluster) {
    load(cluster, include_str!("sample/company.sql"));
}

/// Everything that a catalog can hold and a dump must bring back, and databases with odd names.
///
/// # Panics
/// When it cannot be loaded.
pub fn odd(cluster: &Cluster) {
    load(cluster, include_str!("sample/odd.sql"));
    for (number, name) in ODD_NAMES.iter().enumerate() {
        cluster.sql("postgres", &format!("create database {}", identifier(name)));
        if number % 4 == 0 {
            let table = format!("create table {} as select 1 as one", identifier(name));
            cluster.sql(name, &table);
        }
    }
}

/// Feeds a script to psql.
///
/// # Panics
/// When it fails.
pub fn load(cluster: &Cluster, script: &str) {
    let out = cluster
        .psql("postgres")
        .stdin(postgres::as_stdin(script.as_bytes()))
        .stdout(Stdio::null())
        .output()
        .expect("psql");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "psql: {}\n{said}", out.status);
}

/// Makes a table of rows of the same width in a database; about `megabytes` of dump.
///
/// # Panics
/// When it cannot be made.
pub fn bulk(cluster: &Cluster, database: &str, table: &str, megabytes: u32) {
    let rows = megabytes * 9000;
    cluster.sql(
        database,
        &format!(
            "create table {} as select lpad(i::text, 12, '0') as id, md5(i::text) || md5((-i)::text) as hash, \
             lpad((i::bigint * 7919 % 1000003)::text, 32, 'x') as filler from generate_series(1, {rows}) i",
            identifier(table)
        ),
    );
}

/// A name as SQL writes it.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
