//! One request to a container and its answer, from the bottom up:
//!
//! | | |
//! |---|---|
//! | `call`, `operation` | what is sent, and what it is for |
//! | `explanation` | the service's "no" put into words |
//! | `exchange` | tries until a request succeeds or is given up |

mod call;
mod exchange;
mod explanation;
mod operation;

pub(crate) use call::Call;
pub(crate) use exchange::{Exchange, GivenUp};
pub(crate) use operation::Operation;
