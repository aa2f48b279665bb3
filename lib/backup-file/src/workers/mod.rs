//! Threads that work beside the caller's, and whose results come back in order.
//!
//! A writer has its work at hand and gives it out ([`queue`]); a reader's workers fetch it themselves from the file
//! ([`read_ahead`]).

pub(crate) mod queue;
pub(crate) mod read_ahead;
pub(crate) mod thread;
