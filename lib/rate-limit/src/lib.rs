//! At most N bytes a second, for links and servers that serve users meanwhile.
//!
//! In any second no more than 105 % of the rate passes, and on average the rate itself, if there is enough to pass.

mod bucket;
mod limit;
mod rate;

pub use bucket::TokenBucket;
pub use limit::{LimitedReader, RateLimit};
pub use rate::Rate;
