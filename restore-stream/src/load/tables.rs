//! A database of which some tables' rows are restored: by one session, which reads little else.

use job::{Error, say};

use crate::edit::{DatabaseEdit, TableChoice};
use crate::load::parallel::{Part, Setting};
use crate::load::part::Load;
use crate::source::checked::CheckedSql;
use crate::source::ranges::SectionRanges;

/// Loads what was chosen of a database. All of it has come when this returns.
///
/// # Errors
/// There is no such table, before anything is loaded; or what ends any load.
pub(crate) fn load(
    setting: Setting<'_>,
    part: &Part<'_>,
    choice: TableChoice,
    threads: usize,
) -> Result<Load<DatabaseEdit>, Error> {
    let Setting {
        chosen,
        cluster,
        cleanup,
        sessions,
        progress,
        ..
    } = setting;
    let Part {
        section, target, ..
    } = part;
    let name = target.from.as_ref().unwrap_or(&target.name);
    let ranges = SectionRanges::new(chosen, section)?;
    if let Some(ranges) = &ranges {
        choice.check(ranges.layout(), name)?;
    }
    let mut load = Load::database(cluster, target, chosen.encoding(), cleanup, sessions)?;
    load.define(part.definitions.clone());
    load.choose(Some(choice));
    if let Some(ranges) = ranges {
        load.chosen(&ranges, name, threads, progress)?;
    } else {
        say!("'{name}' has no map in the backup: all of it is read to find its tables");
        let mut input = CheckedSql::section(chosen, section, threads)?;
        load.all(&mut input, progress)?;
        load.finish_chosen(name)?;
    }
    Ok(load)
}
