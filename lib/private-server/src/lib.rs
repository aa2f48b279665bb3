//! A PostgreSQL server of one's own: it lives in a directory of its own ([`ServerDirectory`]), answers on a socket there
//! and nowhere else ([`PrivateServer`]), and is gone, with all that it started, when the program drops it or is stopped
//! by a signal.
//!
//! It may also be a server on data that are to be recovered ([`PrivateServer::recover`]).
//!
//! What a server is given to restore is code. Where this process is root, the server runs as a user that owns nothing
//! else on the machine; a process of any other user runs it as that user.
//!
//! ```no_run
//! # fn main() -> Result<(), private_server::Error> {
//! use private_server::{Installation, PrivateServer, ServerDirectory};
//!
//! let installation = Installation::find(None, Some(17))?;
//! let directory = ServerDirectory::make(&installation, "/var/tmp".as_ref(), "test-")?;
//! directory.initdb(&"postgres".into(), "UTF8")?;
//! let server = PrivateServer::start(directory, &"postgres".into(), &[("fsync", "off")])?;
//! println!("{:?}", server.conninfo());
//! # Ok(())
//! # }
//! ```

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod account;
mod directory;
mod error;
mod installation;
mod log;
mod private_directory;
mod readiness;
mod recover;
mod recovered_data;
mod replay;
mod server;

pub use account::unused_account;
pub use directory::ServerDirectory;
pub use error::{Error, ErrorKind};
pub use installation::Installation;
pub use log::{LoggedError, ServerLog};
pub use private_directory::PrivateDirectory;
pub use server::PrivateServer;
