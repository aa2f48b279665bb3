//! Identities in the place of tokens: what setup-backup.sh --identity makes, and the jobs that run with it.

mod account;
mod az;
mod command_lines;
mod jobs;
mod made;
