//! Other sessions that load parts of a database beside the first one.

use job::Error;

use crate::edit::{DatabaseEdit, SessionSettings, Tally};
use crate::load::part::{Load, connection};
use crate::load::psql_output::PsqlOutput;
use crate::server::cluster::Cluster;
use crate::server::session::Connection;
use crate::server::session_group::SessionGroup;
use crate::server::target::Target;

/// How another session joins that of a database.
pub(crate) struct Sibling {
    connection: Connection,
    what: String,
    edit: DatabaseEdit,
}

/// What a session has loaded.
#[derive(Debug)]
pub(crate) struct Share {
    pub(super) tally: Tally,
    pub(super) rows: u64,
    pub(super) inserts: bool,
    pub(super) bytes: u64,
}

impl Sibling {
    /// None before the first session is connected to the database.
    pub(crate) fn of(
        load: &Load<DatabaseEdit>,
        cluster: &Cluster,
        target: &Target,
    ) -> Option<Self> {
        let edit = load.edit.fork()?;
        Some(Self {
            connection: connection(cluster, edit.database()?),
            what: format!("database '{}'", target.name),
            edit,
        })
    }

    /// Starts such a session.
    pub(crate) fn start(
        &self,
        cluster: &Cluster,
        sessions: &SessionGroup,
    ) -> Result<Load<DatabaseEdit>, Error> {
        let mut output = PsqlOutput::new(&self.connection, self.what.clone(), sessions)?;
        let edit = self.edit.fork().ok_or_else(|| {
            Error::failed(format!("{}: its first session is not connected", self.what))
        })?;
        edit.join(&mut output)?;
        Ok(Load::new(cluster, output, edit))
    }
}

impl Load<DatabaseEdit> {
    /// What the dump has set so far in this session.
    pub(crate) fn settings(&self) -> &SessionSettings {
        self.edit.settings()
    }

    /// Brings the session to these settings.
    pub(crate) fn adopt(&mut self, settings: &SessionSettings) -> Result<(), Error> {
        self.edit.adopt(settings, &mut self.output)
    }

    /// The settings by which text is read, as SQL: for a scanner that begins in the middle of the dump.
    pub(crate) fn reading(&self) -> Vec<u8> {
        self.edit.reading()
    }

    /// Whether the dump has begun a transaction of its own.
    pub(crate) fn is_within_transaction(&self) -> bool {
        self.edit.is_within_transaction()
    }

    /// Says that the rows of the next COPY are to be frozen.
    pub(crate) fn freeze_next(&mut self) {
        self.edit.freeze_next();
    }

    /// Ends a session that is not the first, after psql has done everything that was sent.
    pub(crate) fn share(mut self) -> Result<Share, Error> {
        self.settle()?;
        let share = Share {
            tally: self.take_tally(),
            rows: self.rows,
            inserts: self.inserts,
            bytes: self.bytes,
        };
        self.output.end("")?;
        Ok(share)
    }

    /// Adds what another session has loaded.
    pub(crate) fn absorb(&mut self, share: Share) {
        self.edit.absorb(share.tally);
        self.rows += share.rows;
        self.inserts |= share.inserts;
        self.bytes += share.bytes;
    }
}
