//! What restores that were killed have left.

use job::say;

use pg_text::PgText;

use crate::keeper;
use crate::names::working_key;
use crate::preflight::Cluster;

/// The databases of runs that do not live any more, as the server was found. Who else is connected to one is no sign
/// of life: an exporter visits every database.
pub(crate) fn find(cluster: &Cluster) -> Vec<PgText> {
    let mut found = Vec::new();
    for (name, database) in &cluster.databases {
        let Some(key) = working_key(name.ascii()) else {
            continue;
        };
        if cluster.live.contains(key) {
            say!("'{name}' is being restored by another restore-stream, and is left alone");
        } else if database.ours {
            say!("'{name}' was left by a restore that was killed: it will be dropped");
            found.push(name.clone());
        } else {
            say!(
                "'{name}' was left by a restore that was killed, and is left to its owner '{}'",
                database.owner
            );
        }
    }
    found
}

/// Drops them.
pub(crate) fn sweep(cluster: &Cluster, leftovers: &[PgText]) {
    for name in leftovers {
        match keeper::clear(cluster, name) {
            Ok(()) => say!("dropped '{name}', which a restore that was killed has left"),
            Err(error) => {
                say!("cannot drop '{name}', which a restore that was killed has left: {error}");
            }
        }
    }
}
