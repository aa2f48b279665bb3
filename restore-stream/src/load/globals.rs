//! How roles and tablespaces are edited on their way.

use std::collections::BTreeSet;

use pg_text::PgText;

use crate::cli::Args;
use crate::edit::GlobalsEdit;
use crate::server::cluster::Cluster;

/// The edit for roles and tablespaces, where these are there already.
pub(super) fn edit(
    cluster: &Cluster,
    args: &Args,
    roles: &BTreeSet<PgText>,
    tablespaces: &BTreeSet<PgText>,
) -> GlobalsEdit {
    GlobalsEdit::new(
        roles.clone(),
        tablespaces.clone(),
        args.role_passwords,
        !cluster.restrict,
    )
    .granting(cluster.survey.grantors.clone())
    .on(cluster.names.clone())
}
