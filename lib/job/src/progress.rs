//! How far a long task has come: a bar on a terminal, elsewhere a line from time to time.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{bar, message, say, text};

/// A log gets a line each time this long has passed.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// The progress of one piece of work, counted in bytes. May be shared between threads. The bar is gone
/// when it is dropped.
#[derive(Debug)]
pub struct Progress {
    doing: String,
    total: Option<u64>,
    done: AtomicU64,
    started: Instant,
    /// Milliseconds after `started` at which the next line is due.
    next_line: AtomicU64,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins; `doing` names the work ("uploading 'x.sql.gz'"), `total` is its size in bytes, where it
    /// is known.
    pub fn new(doing: impl Into<String>, total: Option<u64>) -> Self {
        let doing = doing.into();
        let bar = std::io::stderr().is_terminal().then(|| draw(&doing, total));
        if let Some(bar) = &bar {
            bar::show(Some(bar.clone()));
        }
        Self {
            doing,
            total,
            done: AtomicU64::new(0),
            started: Instant::now(),
            next_line: AtomicU64::new(millis(LINE_EVERY)),
            bar,
        }
    }

    /// Counts `bytes` more.
    pub fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            return;
        }
        let elapsed = self.started.elapsed();
        let due = self.next_line.load(Ordering::Relaxed);
        let next = millis(elapsed + LINE_EVERY);
        if millis(elapsed) >= due
            && self
                .next_line
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            self.say_line(done, elapsed);
        }
    }

    /// The bytes counted so far.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    fn say_line(&self, done: u64, elapsed: Duration) {
        let (doing, rate) = (&self.doing, text::rate(done, elapsed));
        match self.total {
            Some(total) => say!(
                "{doing}: {} of {} ({rate})",
                text::bytes(done),
                text::bytes(total)
            ),
            None => say!("{doing}: {} ({rate})", text::bytes(done)),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
            bar::show(None);
        }
    }
}

fn draw(doing: &str, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        None => "{msg} {spinner} {bytes} {bytes_per_sec} {elapsed}",
    };
    // On one line, as the bar is.
    let doing = message::shown(doing).replace('\n', "\\n");
    let bar =
        ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr()).with_message(doing);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
