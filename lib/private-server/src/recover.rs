//! A server on data that are to be recovered: it replays their WAL, and is there when it has reached the target.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use pg_client::{Child, Server, quote_ident, random_key};
use pg_text::PgText;

use crate::recovered_data::Configuration;
use crate::replay::Replay;
use crate::{Error, ErrorKind, PrivateServer, ServerDirectory};

/// Random bytes in the name of a superuser of ours.
const KEY_LENGTH: usize = 8;
/// The databases that `postgres --single` is tried in. Even one that nobody may connect to lets it in; a cluster may have
/// dropped some.
const DATABASES: [&str; 3] = ["template1", "postgres", "template0"];
/// What every session begins with, against what the cluster may have set for a role or a database: a library that is not
/// here keeps everybody out.
const SESSION: &str = "-c local_preload_libraries= -c session_preload_libraries=";
/// The same, since PostgreSQL 17: triggers on logins are the cluster's code.
const SESSION_17: &str = " -c event_triggers=off";

impl PrivateServer {
    /// Starts a server on [`ServerDirectory::data`], which holds a base backup, all the WAL that is needed in `pg_wal`, a
    /// `recovery.signal`, and the target in `postgresql.auto.conf` (what `restore-stream --at … --data-dir … --with-wal`
    /// makes), and waits until it has recovered, however long that takes; it says how far that is ([`job::Progress`]). It
    /// may be written to then, on a timeline of its own, and forgets everything when it ends.
    ///
    /// No other setting of the cluster holds. The superuser that [`conninfo`](Self::conninfo) names is the first of
    /// `likely` that is one, or else a new one, for which the server is started again: then it does not know any more what
    /// it has replayed last (`pg_last_xact_replay_timestamp()` is null).
    ///
    /// # Errors
    /// [`ErrorKind::NotRecovered`], in the server's own words: it cannot replay the WAL, or has not reached the target;
    /// [`ErrorKind::NotStarted`]; [`ErrorKind::Directory`].
    pub fn recover(directory: ServerDirectory, likely: &[PgText]) -> Result<Self, Error> {
        let major = directory.installation().version().major();
        let configuration = Configuration::write(&directory, major)?;
        let nobody = PgText::default();
        let mut server = Self::prepared(directory, &nobody, configuration.options())?;
        let mut session = SESSION.to_owned();
        if major >= 17 {
            session.push_str(SESSION_17);
        }
        let reached = server
            .conninfo
            .clone()
            .with_option("options", &session.as_str().into());
        let as_user = |user: &PgText| reached.clone().with_option("user", user);
        let mut replay = Replay::of(&server.directory.data());
        let started = server.started_while(&mut || replay.look());
        drop(replay);
        server.postgres = Some(started.map_err(Error::of_recovery)?);
        let superuser = likely.iter().map(as_user).find(is_superuser);
        server.conninfo = match superuser {
            Some(conninfo) => conninfo,
            None => as_user(&server.make_superuser()?),
        };
        Ok(server)
    }

    /// Makes a superuser with a name that nobody has. `postgres --single` needs no name to begin with.
    fn make_superuser(&mut self) -> Result<PgText, Error> {
        // It ends at once: whoever comes next replays what it has written.
        self.postgres = None;
        let key = random_key::<KEY_LENGTH>()
            .map_err(|error| Error::program(ErrorKind::NotStarted, &error))?;
        let name = PgText::from(format!("private_server_{key}"));
        let create = format!("CREATE ROLE {} SUPERUSER LOGIN\n", quote_ident(&name));
        let mut refused = None;
        let mut databases = DATABASES.into_iter();
        // It wants to know its user's name, and that of the server's user need not have one.
        self.directory.give(self.directory.maker())?;
        let made = databases.any(|database| match self.run_alone(database, &create) {
            Ok(()) => true,
            Err(error) => {
                refused.get_or_insert(error);
                false
            }
        });
        if let (false, Some(error)) = (made, refused) {
            return Err(error);
        }
        self.directory.give(self.conninfo.account())?;
        // What a server that was killed has left would tell that this one is ready.
        let _ = fs::remove_file(self.directory.data().join("postmaster.pid"));
        self.postgres = Some(self.started()?);
        Ok(name)
    }

    /// Runs a statement in a server of one session.
    fn run_alone(&self, database: &str, sql: &str) -> Result<(), Error> {
        let failed = |error: pg_client::Error| Error::program(ErrorKind::NotStarted, &error);
        let directory = &self.directory;
        let mut postgres = directory.program("postgres", directory.maker());
        postgres.arg("--single").arg("-D").arg(directory.data());
        for option in &self.options {
            postgres.args(["-c", option]);
        }
        postgres.args(["-c", "exit_on_error=on", database]);
        postgres.stdin(Stdio::piped());
        let mut child = Child::spawn(postgres).map_err(failed)?;
        if let Some(mut stdin) = child.take_stdin() {
            // If it reads no more, its own words say why.
            let _ = stdin.write_all(sql.as_bytes());
        }
        child.wait().map_err(failed)
    }
}

/// Whether the user is one that the server lets in, and that may do everything.
fn is_superuser(conninfo: &pg_client::Conninfo) -> bool {
    const ASK: &str = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user";
    let server = Server::new(conninfo.clone());
    let mut answers = DATABASES
        .iter()
        .filter_map(|it| server.query(Some(*it), ASK).ok());
    let Some(rows) = answers.next() else {
        return false;
    };
    matches!(rows.last().map(Vec::as_slice), Some([Some(is)]) if *is == "t")
}
