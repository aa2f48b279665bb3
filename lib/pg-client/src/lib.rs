//! PostgreSQL as libpq programs reach it: how to connect ([`Conninfo`]), what to ask of a server
//! ([`Server`]), and the client programs run as child processes ([`Child`]).

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod account;
mod child;
mod conninfo;
mod error;
mod key;
mod neutral;
mod pipe_reader;
mod pooler;
mod program;
mod removal;
mod server;
mod sqlstate;
mod version;

pub use account::Account;
pub use child::{Child, Ended, Ending, Killer, is_error_line};
pub use conninfo::Conninfo;
pub use error::{Error, ErrorKind};
pub use key::random_key;
pub use neutral::NEUTRAL_SETTINGS;
pub use pipe_reader::PipeReader;
pub use pooler::Answer;
pub use program::command;
pub use removal::{RELEASE, disconnect, drop_database, open_database, vacate};
pub use server::{Row, Server, quote_ident, quote_literal, sql};
pub use sqlstate::{ServerMessage, SqlState};
pub use version::Version;
