//! The harness of the stories: a real PostgreSQL, the real Azurite, our five programs, and what is
//! needed to look at them from outside. Every part belongs to the test that made it, is ready when it
//! is returned, and is gone when it is dropped, or when the test is killed ([`watchdog`]).
//!
//! A harness fails by panicking, with all that a person needs to see why.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "what fails here fails a test"
)]

pub mod azurite;
pub mod backup;
pub mod bench;
pub mod chance;
pub mod compare;
pub mod crafted;
pub mod moments;
pub mod pgbouncer;
pub mod postgres;
pub mod program;
pub mod prometheus;
pub mod proxy;
pub mod sample;
pub mod sas;
pub mod scratch;
pub mod soup;
pub mod tls;
pub mod tool;
pub mod volume;
pub mod wal_store;
pub mod watchdog;

use std::thread;
use std::time::{Duration, Instant};

pub use azurite::{Azurite, Container};
pub use backup::Bytes;
pub use chance::Chance;
pub use moments::Moments;
pub use pgbouncer::PgBouncer;
pub use postgres::{Cluster, Version};
pub use program::{PROGRAMS, Program, Running, Seen};
pub use prometheus::{Exporter, Prometheus};
pub use proxy::Proxy;
pub use scratch::Scratch;
pub use volume::Volume;
pub use wal_store::WalStore;

/// How long anything may take that takes a moment on a quiet machine.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Asks again and again until there is an answer.
///
/// # Panics
/// When there is none within [`PATIENCE`]; `what` is said then.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} in vain for {what}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}
