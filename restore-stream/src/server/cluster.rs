//! The server, and how this run speaks to it.

use job::Error;
use pg_client::{Conninfo, Server};
use pg_text::PgText;

use crate::cli::Args;
use crate::server::failure::record::FailureList;
use crate::server::maintenance;
use crate::server::name_converter::NameConverter;
use crate::server::names::Run;
use crate::server::survey::Survey;

#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) server: Server,
    pub(crate) survey: Survey,
    /// What names of the backup are on the server.
    pub(crate) names: NameConverter,
    pub(crate) run: Run,
    /// Whether psql knows `\restrict`.
    pub(crate) restrict: bool,
    /// Whether statements in databases that name a role are restored.
    pub(crate) owners: bool,
    /// Whether connections to databases that are replaced are closed.
    pub(crate) force: bool,
    /// The list of statements that fail, if the restore goes on after them.
    pub(crate) failures: Option<FailureList>,
}

impl Cluster {
    /// Asks the server, and changes nothing. `taken` are the databases whose names this run takes, if that is known
    /// before the backup is read.
    ///
    /// # Errors
    /// It does not answer, or a pooler does (4); it is a standby (4); there is no database to connect to but
    /// those whose names are taken (4).
    pub(crate) fn survey(args: &Args, taken: Option<&[PgText]>) -> Result<Self, Error> {
        let conninfo = match &args.dbname {
            Some(text) => Conninfo::parse(text)?,
            None => Conninfo::default(),
        };
        let conninfo = conninfo.run_as(args.psql_user);
        let psql = conninfo.client_version("psql")?;
        let run = Run::new()?;
        // By this name other runs see that this one lives.
        let server = Server::new(conninfo.named(&run.application()));
        let (maintenance, rows) = maintenance::reach(&server, taken)?;
        let survey = Survey::read(maintenance, &rows, args.jobs)?;
        Ok(Self {
            names: NameConverter::new(&server, &survey.maintenance),
            server,
            survey,
            run,
            restrict: psql.has_restrict(),
            owners: !args.no_owners,
            force: args.force_disconnect,
            failures: None,
        })
    }

    /// Goes on after statements that fail, which are listed.
    ///
    /// # Errors
    /// psql has no restricted mode: it would carry out commands that come after an error.
    pub(crate) fn go_on(&mut self, failures: FailureList) -> Result<(), Error> {
        if !self.restrict {
            return Err(Error::refused(
                "--on-error continue needs a psql with a restricted mode (\\restrict)",
            )
            .hint("take psql 18, 17.6, 16.10, 15.14, 14.19 or 13.22, or a newer one of these"));
        }
        self.failures = Some(failures);
        Ok(())
    }

    /// Refuses where pg_hba.conf or a password file names databases one by one, and not those that are being
    /// restored. Both decide before the server looks for a database of this name, which does not exist.
    pub(crate) fn check_admission(&self) -> Result<(), Error> {
        let working = self.run.of_no_database();
        let Err(error) = self.server.query(Some(&working), "") else {
            return Ok(());
        };
        let said = error.to_string();
        let says = |words: &str| said.contains(words);
        // A file's name, which no language translates, and words of libpq's own, which are English here (`LC_ALL=C`). libpq
        // hands on no SQLSTATE before there is a session.
        let place = if says("pg_hba.conf") {
            "pg_hba.conf"
        } else if says("no password supplied") || says("password retrieved from file") {
            "the password file (.pgpass, PGPASSFILE)"
        } else {
            return Ok(());
        };
        Err(Error::refused(format!(
            "'{}' may not connect to a database that is being restored: {said}",
            self.survey.role.name
        ))
        .hint(format!(
            "let it connect to all databases in {place}: until it is whole, a restored one is called restoring_…"
        )))
    }
}
