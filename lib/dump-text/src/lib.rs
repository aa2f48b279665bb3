//! The text of a dump, as psql reads it: where statements, psql's own commands and the rows of a COPY
//! begin and end ([`Scanner`]), where its databases begin ([`PartScanner`]), what a statement or a
//! command is about ([`subject`], [`command`]), what it defines ([`ddl`]), what a database's dump holds ([`Inventory`]), whether a
//! dump is whole by its own words ([`Watch`]; [`Outline`] by its ends alone), and what of a text is the dump
//! ([`PreambleFilter`]).
//!
//! Nothing here guesses: boundaries are found by the rules of psql's lexer (`psqlscan.l`), names are
//! read as SQL identifiers.

mod boundary;
mod bytes;
mod change;
mod client_encoding;
mod command;
mod completion;
mod connect;
mod data;
mod ddl;
mod encoding;
mod escape;
mod flaw;
mod inventory;
mod lexer;
mod nested;
mod number;
mod opening;
mod outline;
mod part;
mod piece;
mod preamble;
mod query;
mod scanner;
mod search_path;
mod sequence;
mod settings;
mod sql_body;
mod subject;
mod suspect;
mod token;

pub use boundary::is_opening;
pub use client_encoding::client_encoding;
pub use command::{Command, command};
pub use completion::{CLUSTER_CLOSING, Watch};
pub use connect::connect_line;
pub use ddl::{Ddl, Index, QualifiedName, Table, copied_table, ddl, inserted_table};
pub use flaw::{Flaw, Oddity};
pub use inventory::{CopiedRows, Inventory, TableKind};
pub use opening::Text;
pub use outline::Outline;
pub use part::{Event, Part, PartScanner};
pub use piece::{Piece, Unfinished};
pub use preamble::PreambleFilter;
pub use scanner::{HEAD_LIMIT, Scanner};
pub use subject::{Named, ObjectKind, Subject, Verb, is_setting, subject};
pub use token::{Spanned, Token, tokens};
