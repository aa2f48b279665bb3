//! Attempts at one host, until one succeeds or they are given up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::http::{Request, Response};
use ureq::{Agent, AsSendBody, Body};

use super::cancel::Cancel;
use super::fault::Fault;
use super::retry::{Attempts, Verdict, judge};
use crate::{Error, ErrorKind, Options};

/// How often a person hears of faults at most.
const REPORT_EVERY: Duration = Duration::from_secs(20);

/// A host, and what is known of it.
#[derive(Debug)]
pub(crate) struct Host {
    /// With its port.
    name: String,
    /// What it is, in messages: `the Blob service`.
    service: &'static str,
    agent: Agent,
    options: Options,
    /// Whether it has ever answered.
    reached: AtomicBool,
    /// When a person last heard of a fault.
    reported: Mutex<Option<Instant>>,
}

/// What comes after a fault.
#[derive(Debug)]
pub(crate) enum Next {
    /// Another attempt: the pause before it is over.
    Again,
    /// None: it would end the same way.
    Final,
    /// None: the time is over, or nobody wants the answer any more.
    Over(Error),
}

/// The attempts at one request.
#[derive(Debug)]
pub(crate) struct Tries<'a> {
    host: &'a Host,
    /// How an error begins.
    cannot: &'a str,
    started: Instant,
    count: u32,
}

impl Host {
    pub(crate) fn new(
        name: impl Into<String>,
        service: &'static str,
        agent: Agent,
        options: Options,
    ) -> Self {
        Self {
            name: name.into(),
            service,
            agent,
            options,
            reached: AtomicBool::new(false),
            reported: Mutex::new(None),
        }
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Makes a request once, whose body and whose answer's have `bytes` bytes together. An answer of any status is a
    /// success here.
    pub(crate) fn run(
        &self,
        request: Request<impl AsSendBody>,
        bytes: u64,
    ) -> Result<Response<Body>, Fault> {
        let timeout = self.options.request_time(bytes);
        let request = self.agent.configure_request(request);
        let request = request.timeout_per_call(Some(timeout)).build();
        let answer = self.agent.run(request);
        let answer = answer.map_err(|error| Fault::of(&error, &self.name))?;
        self.reached.store(true, Ordering::Relaxed);
        Ok(answer)
    }

    /// Attempts at one request, the first of which begins now.
    pub(crate) fn tries<'a>(&'a self, cannot: &'a str) -> Tries<'a> {
        Tries {
            host: self,
            cannot,
            started: Instant::now(),
            count: 0,
        }
    }

    /// The error of a fault that the host did not mean as a "no".
    pub(crate) fn error(&self, cannot: &str, fault: Fault) -> Error {
        match fault {
            Fault::Final(error) => error,
            Fault::Malformed(_) => Error::new(ErrorKind::Malformed, format!("{cannot}: {fault}"))
                .hint(format!(
                    "is {} {}, or a proxy before it?",
                    self.name, self.service
                )),
            Fault::Unreachable(_) => self.unreachable(cannot, &fault),
            Fault::Broken(_) => Error::new(ErrorKind::Deadline, format!("{cannot}: {fault}")),
            Fault::Refused(_) => Error::new(ErrorKind::Refused, format!("{cannot}: {fault}")),
        }
    }

    fn unreachable(&self, cannot: &str, fault: &Fault) -> Error {
        Error::new(
            ErrorKind::Unreachable,
            format!("{cannot}: cannot reach {}: {fault}", self.name),
        )
        .hint("is the URL right, does the name resolve here, does a network policy or firewall let it through?")
    }

    /// Tells a person now and then that something is tried again: the log should show why a night was long.
    fn report(&self, cannot: &str, fault: &Fault, pause: Duration) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = reported.is_none_or(|at| at.elapsed() >= REPORT_EVERY);
        if pause >= Duration::from_secs(1) && is_due {
            *reported = Some(Instant::now());
            job::say!(
                "{cannot}: {fault}; trying again in {}",
                job::text::duration(pause)
            );
        }
    }
}

impl Tries<'_> {
    /// After another attempt ended in `fault`: decides, and waits if it is worth another one.
    pub(crate) fn after(&mut self, fault: &Fault, cancel: &Cancel) -> Next {
        self.count += 1;
        let host = self.host;
        let attempts = Attempts {
            count: self.count,
            elapsed: self.started.elapsed(),
            reached: host.reached.load(Ordering::Relaxed),
        };
        match judge(fault, attempts, &host.options, chance()) {
            Verdict::Again(pause) => {
                host.report(self.cannot, fault, pause);
                match cancel.wait(pause) {
                    false => Next::Again,
                    true => Next::Over(Error::new(
                        ErrorKind::Deadline,
                        format!("{}: stopped", self.cannot),
                    )),
                }
            }
            Verdict::Final => Next::Final,
            Verdict::TooLate => Next::Over(self.too_late(fault, attempts)),
        }
    }

    fn too_late(&self, fault: &Fault, attempts: Attempts) -> Error {
        let error = match fault {
            Fault::Unreachable(_) => self.host.unreachable(self.cannot, fault),
            fault => Error::new(ErrorKind::Deadline, format!("{}: {fault}", self.cannot))
                .hint("the service or the network did not recover in time; run it again later"),
        };
        error.and(format_args!(
            " (tried {} in {})",
            times(attempts.count),
            job::text::duration(attempts.elapsed)
        ))
    }
}

fn times(count: u32) -> String {
    match count {
        1 => "once".into(),
        _ => format!("{count} times"),
    }
}

/// A random number from 0 to 1.
fn chance() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}
