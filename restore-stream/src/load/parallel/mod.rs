//! Restores databases by several sessions at once: several databases, and several parts of one.
//!
//! A database's first session, its lane, gets the dump's text in the dump's order and sends what is not to run beside
//! anything else. The rows of tables, indexes and constraints become units ([`mod@unit`]). What a unit may run beside is decided
//! when it is added ([`relations`], [`schedule`]); who runs it is decided when somebody is free ([`pool`]).

mod databases;
mod frozen_rows;
mod lane;
mod pending;
mod pool;
mod relations;
mod row_groups;
mod schedule;
mod unit;

pub(crate) use databases::{Part, Setting, load};
