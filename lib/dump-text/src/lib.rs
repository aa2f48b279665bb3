//! The text of a dump, as psql reads it: where statements, psql's own commands and the rows of a COPY
//! begin and end ([`Scanner`]), where its databases begin ([`PartScanner`]), what a statement or a
//! command is about ([`subject`], [`command`]), what a database's dump holds ([`Inventory`]), whether a
//! dump is whole by its own words ([`Watch`]; [`Sight`] by its ends alone), and what of a text is the dump ([`Entrance`]).
//!
//! Nothing here guesses: boundaries are found by the rules of psql's lexer (`psqlscan.l`), names are
//! read as SQL identifiers.

mod body;
mod bytes;
mod change;
mod client_encoding;
mod command;
mod completion;
mod connect;
mod encoding;
mod entrance;
mod escape;
mod inventory;
mod lexer;
mod number;
mod opening;
mod part;
mod piece;
mod query;
mod scanner;
mod search_path;
mod sequence;
mod settings;
mod sight;
mod subject;
mod title;
mod token;
mod verdict;
mod wary;
mod within;

pub use client_encoding::client_encoding;
pub use command::{Command, command};
pub use completion::{CLUSTER_CLOSING, Watch};
pub use connect::connect_line;
pub use entrance::Entrance;
pub use inventory::Inventory;
pub use opening::Text;
pub use part::{Event, Part, PartScanner};
pub use piece::{Piece, Unfinished};
pub use scanner::{HEAD_LIMIT, Scanner};
pub use sight::Sight;
pub use subject::{Kind, Named, Subject, Verb, is_setting, subject};
pub use title::is_opening;
pub use token::{Spanned, Token, tokens};
pub use verdict::{Flaw, Oddity};
