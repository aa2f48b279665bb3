//! A database that is first seen while the backup is read: it is looked at, planned and checked when it comes.

use job::{Error, say};
use pg_text::PgText;

use crate::cli::Args;
use crate::plan::placement;
use crate::server::cluster::Cluster;
use crate::server::names::NewNames;
use crate::server::sessions;
use crate::server::target::{Replaced, Target};

/// Decides where it goes, and says so. `from` is its name in the backup, if that says it.
///
/// # Errors
/// Something on the server stands in the way (exit code 4).
pub(super) fn target(
    cluster: &Cluster,
    args: &Args,
    names: &mut NewNames,
    from: Option<&PgText>,
    name: &PgText,
) -> Result<Target, Error> {
    let wanted = cluster.look(from, name)?;
    let target = placement::target(&wanted, &cluster.survey, names, args)?;
    if target.replaced != Replaced::Nothing {
        sessions::refuse(cluster, &[&target.name])?;
    }
    say!("{}", target.summary());
    Ok(target)
}
