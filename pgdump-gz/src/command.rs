use std::time::Instant;

use backup_file::SectionKind;
use job::{Error, Progress, say, text};
use rate_limit::RateLimit;

use crate::cli::Args;
use crate::cluster::Dump;
use crate::document::Document;
use crate::output::{Section, Target, Written};
use crate::{base, foreign, jobs, preflight, scheduling, standby};
use dump_text::CLUSTER_CLOSING;

/// What was dumped, for the last line.
struct Summary {
    written: Written,
    /// Bytes before compression.
    sql: u64,
    /// What it holds: `9 databases`, `without an index, from 'tar'`.
    what: String,
}

/// Runs the program.
///
/// # Errors
/// Whatever ends it without a backup.
pub(crate) fn run() -> Result<(), Error> {
    let args: Args = job::parse_args()?;
    if args.json && args.dir.is_none() {
        return Err(Error::usage(
            "--json needs --dir: without it standard output carries the backup",
        )
        .hint("name a directory with --dir, or leave --json out"));
    }
    if !args.no_sched_batch {
        scheduling::run_as_batch();
    }
    let started = Instant::now();
    let target = Target::open(args.dir.as_deref(), args.kind())?;
    let Summary { written, sql, what } = if args.base {
        back_up_cluster(&args, target)?
    } else if args.command.is_empty() {
        dump_cluster(&args, target)?
    } else {
        wrap_command(&args, target)?
    };
    say!(
        "{}: {}, {} before compression, {what}, {}",
        written.label,
        text::bytes(written.size),
        text::bytes(sql),
        text::duration(started.elapsed())
    );
    match written.file {
        Some(file) if args.json => {
            job::print_json_pretty(&Document::new(&file, sql, started.elapsed())?)
        }
        Some(file) => job::print(&format!("{}\n", file.path.display())),
        None => Ok(()),
    }
}

fn dump_cluster(args: &Args, target: Target) -> Result<Summary, Error> {
    let cluster = preflight::cluster(args)?;
    let (mut output, started) = target.begin(args.options())?;
    let dump = Dump {
        cluster: &cluster,
        args,
        progress: Progress::new("dumping the cluster", None),
        limit: args.max_rate.map(RateLimit::new),
    };
    // pg_dump's first questions to the server take as long as the globals: it asks them meanwhile.
    let first = cluster.databases.first();
    let first = first
        .map(|database| dump.begin_database(database))
        .transpose()?;
    dump.globals(&mut output)?;
    jobs::databases(&dump, first, &mut output, args.jobs.into(), args.options())?;
    output.begin(SectionKind::End)?;
    output.write(CLUSTER_CLOSING)?;
    let written = output.finish(Some(dump.about(started)))?;
    Ok(Summary {
        written,
        sql: dump.progress.done(),
        what: text::count(cluster.databases.len(), "database")
            + &standby::remark(cluster.server_role.as_ref(), started),
    })
}

fn back_up_cluster(args: &Args, target: Target) -> Result<Summary, Error> {
    let backed_up = base::back_up(args, target)?;
    Ok(Summary {
        written: backed_up.written,
        sql: backed_up.size,
        what: format!(
            "a base backup of {}{}",
            text::count(backed_up.databases, "database"),
            standby::remark(backed_up.server_role.as_ref(), backed_up.started)
        ),
    })
}

fn wrap_command(args: &Args, target: Target) -> Result<Summary, Error> {
    let (mut output, started) = target.begin(args.options())?;
    let limit = args.max_rate.map(RateLimit::new);
    let copied = foreign::copy(&args.command, &mut output, started, limit.as_ref())?;
    let what = match &copied.about {
        Some(_) => text::count(copied.databases, "database"),
        None => "without an index".to_owned(),
    };
    Ok(Summary {
        written: output.finish(copied.about)?,
        sql: copied.length,
        what: format!("{what}, from '{}'", copied.program),
    })
}
