//! A dump of the whole cluster, put together as `pg_dumpall` does (`pg_dumpall.c`: `main`,
//! `dumpDatabases`, `runPgDump`): the globals, then `pg_dump` of each database.

use std::ffi::OsString;
use std::io::Read;
use std::process::{Command, Stdio};

use backup_file::{About, SectionKind};
use chrono::{DateTime, Utc};
use job::{Error, Progress};
use pg_client::{Child, Conninfo, Killer, PipeReader, is_error_line};
use pg_text::PgText;
use rate_limit::{LimitedReader, RateLimit};

use crate::cli::Args;
use crate::contents::ContentsCounter;
use crate::output::{Output, Section};
use crate::preflight::{self, Cluster, Database};
use dump_text::{CLUSTER_CLOSING, Flaw, Text, Watch};

/// Bytes of globals that are read at once.
const PIECE: usize = 64 << 10;

/// The dump of a database that has been started, and is to be written.
#[derive(Debug)]
pub(crate) struct Running<'a> {
    name: &'a PgText,
    child: Child,
    stdout: LimitedReader<PipeReader>,
}

impl Running<'_> {
    /// What stops it.
    pub(crate) fn killer(&self) -> Killer {
        self.child.killer()
    }
}

/// How a cluster is dumped.
#[derive(Debug)]
pub(crate) struct Dump<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) args: &'a Args,
    pub(crate) progress: Progress,
    /// What is read from all of its programs together.
    pub(crate) limit: Option<RateLimit>,
}

impl<'a> Dump<'a> {
    /// Writes the first section: roles, memberships, tablespaces, and the heading of the databases.
    pub(crate) fn globals(&self, output: &mut Output) -> Result<(), Error> {
        output.begin(SectionKind::Globals)?;
        let mut command = self.cluster.conninfo.command("pg_dumpall", None);
        command.arg("--globals-only");
        if self.args.no_role_passwords {
            command.arg("--no-role-passwords");
        }
        if let Some(database) = &self.cluster.leading {
            // pg_dumpall would take a name with '=' in it for a conninfo: so it gets one.
            let leading = Conninfo::default().with_database(database);
            command.arg(argument("--database=", &leading));
        }
        let (child, stdout) = self.start(command, &self.cluster.encoding)?;
        let (plain, complete) = self.all_but_the_closing(stdout, output)?;
        child.wait().map_err(|error| self.explained(error.into()))?;
        if complete && !plain {
            return Err(changed("the dump of the globals"));
        }
        if !complete {
            return Err(not_whole("the dump of the globals", Flaw::Cut));
        }
        // There is always a database that may be connected to, and pg_dumpall writes this before it looks
        // which ones are excluded.
        output.write(b"--\n-- Databases\n--\n\n")
    }

    /// Finds out whether pg_dumpall failed because it may not read the passwords, although the catalogs grant that.
    /// pg_dumpall says so in the server's language and without a code: therefore the server is asked.
    fn explained(&self, error: Error) -> Error {
        match self.args.no_role_passwords {
            false if preflight::are_passwords_denied(self.cluster) => {
                preflight::no_passwords(&error.to_string())
            }
            _ => self.interrupted(None, error.within("cannot dump the globals")),
        }
    }

    /// The error of a dump (of a database, or of the globals), with what became of a standby meanwhile.
    fn interrupted(&self, database: Option<&PgText>, error: Error) -> Error {
        match &self.cluster.conflicts {
            Some(conflicts) => conflicts.explained(database, error),
            None => error,
        }
    }

    /// Writes the globals, without the comment that closes a cluster's dump: that comes after the databases. Tells
    /// whether they began as a cluster's dump begins, and whether they ended with that comment.
    fn all_but_the_closing(
        &self,
        mut stdout: impl Read,
        output: &mut Output,
    ) -> Result<(bool, bool), Error> {
        let mut watch = Watch::default();
        let mut piece = vec![0; PIECE];
        let mut held = Vec::with_capacity(PIECE + CLUSTER_CLOSING.len());
        loop {
            let length = stdout
                .read(&mut piece)
                .map_err(|error| Error::io("cannot read what pg_dumpall writes", &error))?;
            if length == 0 {
                let plain = watch.is_plain() && watch.text() == Text::Cluster;
                return Ok((plain, held == CLUSTER_CLOSING));
            }
            watch.see(&piece[..length]);
            self.progress.advance(length as u64);
            held.extend_from_slice(&piece[..length]);
            let certain = held.len().saturating_sub(CLUSTER_CLOSING.len());
            output.write(&held[..certain])?;
            held.drain(..certain);
        }
    }

    /// Starts the dump of one database.
    pub(crate) fn begin_database(&self, database: &'a Database) -> Result<Running<'a>, Error> {
        let name = &database.name;
        let conninfo = &self.cluster.conninfo;
        let mut command = conninfo.command("pg_dump", Some(name.as_bytes()));
        command.arg("--format=plain");
        if !exists_already(name) {
            command.arg("--create");
        }
        for (option, pattern) in self.args.excluded().options() {
            command.arg(argument(&format!("{option}="), pattern));
        }
        let started = self.start(command, &database.encoding);
        let (child, stdout) = started.map_err(|error| cannot_dump(name, error))?;
        Ok(Running {
            name,
            child,
            stdout,
        })
    }

    /// Writes the dump of one database, with the comment before it.
    pub(crate) fn database(
        &self,
        running: Running<'_>,
        section: &mut impl Section,
    ) -> Result<(), Error> {
        let Running {
            name,
            child,
            mut stdout,
        } = running;
        let heading = heading(name);
        section.write(&heading)?;
        let mut watch = Watch::default();
        let mut holding = ContentsCounter::default();
        holding.see(&heading);
        section.copy_from(&mut stdout, &mut |piece| {
            watch.see(piece);
            holding.see(piece);
            self.progress.advance(piece.len() as u64);
        })?;
        let ended = child.wait();
        ended.map_err(|error| self.interrupted(Some(name), cannot_dump(name, error)))?;
        let what = || format!("the dump of database {name:?}");
        watch.check().map_err(|flaw| not_whole(&what(), flaw))?;
        if watch.text() != Text::Database {
            return Err(not_whole(&what(), Flaw::Cut));
        }
        if !watch.is_plain() {
            return Err(changed(&what()));
        }
        if let Some(inventory) = holding.finish() {
            section.holds(&inventory);
        }
        Ok(())
    }

    /// Starts a dump program, whose client encoding is `encoding`, whatever settings and the environment say.
    fn start(
        &self,
        mut command: Command,
        encoding: &str,
    ) -> Result<(Child, LimitedReader<PipeReader>), Error> {
        command.arg(format!("--encoding={encoding}"));
        if let Some(key) = &self.args.restrict_key
            && self.cluster.client.has_restrict()
        {
            command.arg(format!("--restrict-key={key}"));
        }
        if let Some(role) = &self.cluster.role {
            command.arg(argument("--role=", role));
        }
        if let Some(timeout) = &self.args.lock_wait_timeout {
            command.arg(format!("--lock-wait-timeout={timeout}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = Child::spawn_with(command, warnings())?;
        let stdout = child
            .take_stream()
            .ok_or_else(|| Error::failed(format!("'{}' has no output", child.name())))?;
        Ok((child, LimitedReader::new(stdout, self.limit.as_ref())))
    }

    /// What the index says of the whole.
    pub(crate) fn about(&self, started: DateTime<Utc>) -> About {
        About {
            server_version: self.cluster.server.text.clone(),
            client_version: self.cluster.client.text.clone(),
            encoding: Some(self.cluster.encoding.clone()),
            excluded: self.args.excluded(),
            server_role: self.cluster.server_role.clone(),
            started,
            finished: Utc::now(),
        }
    }
}

/// Passes on what a dump command says, until it reports an error: from there on its words become the error's, so that
/// they are said once.
pub(crate) fn warnings() -> impl FnMut(&str) + Send + 'static {
    let mut failing = false;
    move |line| {
        failing |= is_error_line(line);
        if !failing {
            job::pass_on(line);
        }
    }
}

/// What `dumpDatabases` writes before the dump of a database.
fn heading(name: &PgText) -> Vec<u8> {
    let mut heading = b"--\n-- Database \"".to_vec();
    // `sanitize_line`: a line break would end the comment.
    heading.extend(name.as_bytes().iter().map(|byte| match byte {
        b'\n' | b'\r' => b' ',
        byte => *byte,
    }));
    heading.extend(b"\" dump\n--\n\n");
    if exists_already(name) {
        heading.extend(format!("\\connect {name}\n\n").into_bytes());
    }
    heading
}

fn argument(option: &str, value: &PgText) -> OsString {
    let mut argument = OsString::from(option);
    argument.push(value.as_os_str());
    argument
}

/// These are in the cluster that the dump will be restored into.
fn exists_already(name: &PgText) -> bool {
    matches!(name.ascii(), "postgres" | "template1")
}

fn cannot_dump(name: &PgText, error: impl Into<Error>) -> Error {
    let error = error.into();
    error.within(format_args!("cannot dump database {name:?}"))
}

/// The error of a dump that does not end as dumps end, or that psql cannot read.
pub(crate) fn not_whole(what: &str, flaw: Flaw) -> Error {
    let error = Error::failed(format!("{what} is not whole: {flaw}"));
    match flaw {
        // The command itself says why.
        Flaw::Cut => error,
        _ => error.hint(flaw.hint()),
    }
}

/// The error of a dump of our own that is not byte for byte what its program wrote.
fn changed(what: &str) -> Error {
    Error::failed(format!("{what} does not begin as such a dump begins")).hint(
        "pg_dump and pg_dumpall on the PATH must be PostgreSQL's own, not scripts that say more",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings() {
        assert_eq!(
            heading(&"a\nb\r\"c".into()),
            b"--\n-- Database \"a b \"c\" dump\n--\n\n"
        );
        assert_eq!(
            heading(&b"gr\xf6\xdfe"[..].into()),
            b"--\n-- Database \"gr\xf6\xdfe\" dump\n--\n\n"
        );
        assert_eq!(
            heading(&"template1".into()),
            b"--\n-- Database \"template1\" dump\n--\n\n\\connect template1\n\n"
        );
    }
}
