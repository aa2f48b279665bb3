//! The text of a dump.
