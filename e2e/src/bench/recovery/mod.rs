//! Back to a moment: a data directory beside pgBackRest's restore and beside tar, and one database of the cluster.

mod by_hand;
mod data_directory;
mod one_database;
mod origin;
mod pgbackrest;
mod place;

use std::rc::Rc;

use super::data::Data;
use super::race::Race;
use origin::Origin;
use pgbackrest::Repositories;
use place::{Distant, Place};

/// Makes the cluster and its backups, and the races. A peer that is not installed is left out.
pub(super) fn races(data: &Data) -> Vec<Race> {
    let origin = Rc::new(Origin::make(data));
    println!("{}", origin.description());
    let repositories = Repositories::make(&origin).map(Rc::new);
    let distant = Rc::new(Distant::start(&origin, repositories.as_deref()));
    let here = Place::here(&origin);
    let near = Place::distant(&distant, 0);
    let far = Place::distant(&distant, 40);
    let mut races = Vec::new();
    for (place, title) in [
        (
            &here,
            "recovery: a data directory without its WAL, from a local directory",
        ),
        (
            &near,
            "recovery: a data directory without its WAL, from a service near by (file: what it sent)",
        ),
        (
            &far,
            "recovery: a data directory without its WAL, from a service whose answers take 40 ms (file: what it sent)",
        ),
    ] {
        let repositories = repositories.as_ref();
        races.push(data_directory::restored(
            title,
            &origin,
            place,
            repositories,
        ));
    }
    races.push(data_directory::unpacked(&origin, &here));
    races.push(one_database::read(&origin, &far));
    races.push(one_database::beside_replay(&origin, &here));
    races
}
