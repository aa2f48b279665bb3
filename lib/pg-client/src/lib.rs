//! PostgreSQL as libpq programs reach it: how to connect ([`Conninfo`]), what to ask of a server
//! ([`Server`]), and the client programs run as child processes ([`Child`]).

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod account;
mod child;
mod conninfo;
mod disposal;
mod error;
mod key;
mod pipe_reader;
mod pooler;
mod program;
mod server;
mod sqlstate;
mod unhindered;
mod version;

pub use account::Account;
pub use child::{Child, Ended, Ending, Killer};
pub use conninfo::Conninfo;
pub use disposal::{RELEASE, disconnect, drop_database, open_database, vacate};
pub use error::{Error, ErrorKind};
pub use key::random_key;
pub use pipe_reader::PipeReader;
pub use pooler::Answer;
pub use program::command;
pub use server::{Row, Server, quote_ident, quote_literal, sql};
pub use sqlstate::{ServerMessage, SqlState};
pub use unhindered::UNHINDERED;
pub use version::Version;
