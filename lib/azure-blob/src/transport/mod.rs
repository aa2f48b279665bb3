//! How a host is reached and what an attempt may end in, whatever is asked of it:
//!
//! | | |
//! |---|---|
//! | `connection`, `certificates`, `proxy`, `no_proxy` | how the host is reached |
//! | `refusal` | the host's "no" |
//! | `fault` | everything an attempt may end in instead of success |
//! | `retry` | which faults are worth another attempt, and when |
//! | `host` | attempts at one host until one succeeds or they are given up |

mod cancel;
mod certificates;
mod connection;
mod fault;
mod host;
mod no_proxy;
mod proxy;
mod refusal;
mod retry;

pub(crate) use cancel::Cancel;
pub use certificates::root_certs;
pub(crate) use certificates::roots_of;
pub(crate) use connection::{Route, agent};
pub use fault::is_certificate_error;
pub(crate) use fault::{Fault, body_of, broken};
pub(crate) use host::{Host, Next};
pub use proxy::proxy;
#[cfg(test)]
pub(crate) use refusal::Clocks;
pub(crate) use refusal::{Refusal, moment};
