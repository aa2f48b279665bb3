//! One request and its answer, from the bottom up:
//!
//! | | |
//! |---|---|
//! | `call`, `operation` | what is sent, and what it is for |
//! | `connection`, `certificates`, `proxy`, `no_proxy` | how the host is reached |
//! | `refusal`, `explanation` | the service's "no", read and put into words |
//! | `fault` | everything an attempt may end in instead of success |
//! | `retry` | which faults are worth another attempt, and when |
//! | `exchange` | tries until a request succeeds or is given up |

mod call;
mod cancel;
mod certificates;
mod connection;
mod exchange;
mod explanation;
mod fault;
mod no_proxy;
mod operation;
mod proxy;
mod refusal;
mod retry;

pub(crate) use call::Call;
pub(crate) use cancel::Cancel;
pub use certificates::root_certs;
pub(crate) use exchange::{Exchange, GivenUp};
pub use fault::is_certificate_error;
pub(crate) use fault::{Fault, body_of, broken};
pub(crate) use operation::Operation;
pub use proxy::proxy;
pub(crate) use refusal::Refusal;
