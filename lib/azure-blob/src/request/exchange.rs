//! Requests to one container, each tried until it succeeds or is given up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rate_limit::LimitedReader;
use ureq::http::{Method, Request, Response, StatusCode};
use ureq::{Agent, Body, SendBody};

use super::call::Call;
use super::cancel::Cancel;
use super::connection;
use super::explanation::explain;
use super::fault::{Fault, body_of};
use super::operation::Operation;
use super::refusal::Refusal;
use super::retry::{Attempts, Verdict, judge};
use crate::credential::Credential;
use crate::{ContainerUrl, Error, ErrorKind, Options, Token, TokenSource};

/// The version of the REST API. The first with all that we use is 2021-12-02 (the Cold tier); Azurite 3.37
/// takes this one as the service does.
const VERSION: &str = "2023-11-03";
/// The body of an error is never longer.
const ERROR_BODY: u64 = 64 << 10;
/// How often a person hears of faults at most.
const REPORT_EVERY: Duration = Duration::from_secs(20);

/// What all requests to a container share.
#[derive(Debug)]
pub(crate) struct Exchange {
    container: ContainerUrl,
    credential: Credential,
    options: Options,
    agent: Agent,
    /// Whether the host has ever answered.
    reached: AtomicBool,
    /// When a person last heard of a fault.
    reported: Mutex<Option<Instant>>,
}

/// Why a request was given up, and whether the service may have done it all the same.
#[derive(Debug)]
pub(crate) struct GivenUp {
    pub(crate) error: Error,
    pub(crate) in_doubt: bool,
}

impl From<GivenUp> for Error {
    fn from(given_up: GivenUp) -> Self {
        given_up.error
    }
}

impl Exchange {
    pub(crate) fn new(
        container: ContainerUrl,
        token: TokenSource,
        options: Options,
    ) -> Result<Self, Error> {
        Ok(Self {
            agent: connection::agent(&container, &options)?,
            credential: Credential::new(token)?,
            container,
            options,
            reached: AtomicBool::new(false),
            reported: Mutex::new(None),
        })
    }

    pub(crate) fn container(&self) -> &ContainerUrl {
        &self.container
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn token(&self) -> Token {
        self.credential.current()
    }

    /// Tries until an attempt succeeds, meets a fault that does not pass, or runs into the deadline.
    pub(crate) fn retry<T>(
        &self,
        operation: &Operation,
        cancel: &Cancel,
        mut attempt: impl FnMut(&Token) -> Result<T, Fault>,
    ) -> Result<T, GivenUp> {
        let started = Instant::now();
        let mut count = 0;
        let mut in_doubt = false;
        loop {
            let token = self.credential.current();
            count += 1;
            let fault = match attempt(&token) {
                Ok(done) => return Ok(done),
                Err(fault) => fault,
            };
            in_doubt |= fault.leaves_doubt();
            if let Fault::Refused(refusal) = &fault
                && matches!(refusal.status, 401 | 403)
                && self.credential.renewed(&token)
            {
                continue;
            }
            let attempts = Attempts {
                count,
                elapsed: started.elapsed(),
                reached: self.reached.load(Ordering::Relaxed),
            };
            let error = match judge(&fault, attempts, &self.options, chance()) {
                Verdict::Again(pause) => {
                    self.report(operation, &fault, pause);
                    if !cancel.wait(pause) {
                        continue;
                    }
                    Error::new(
                        ErrorKind::Deadline,
                        format!("{}: stopped", operation.cannot),
                    )
                }
                Verdict::Final => self.explain(operation, fault, &token),
                Verdict::TooLate => self.too_late(operation, fault, attempts),
            };
            return Err(GivenUp { error, in_doubt });
        }
    }

    /// As [`retry`](Self::retry), for a request that nobody cancels and that may safely be repeated.
    pub(crate) fn ask<T>(
        &self,
        operation: &Operation,
        attempt: impl FnMut(&Token) -> Result<T, Fault>,
    ) -> Result<T, Error> {
        Ok(self.retry(operation, &Cancel::default(), attempt)?)
    }

    /// Makes a request once. Any status but the one that means success is a fault.
    pub(crate) fn send(&self, call: &Call, token: &Token) -> Result<Response<Body>, Fault> {
        let answer = self
            .run(call, token)
            .map_err(|error| Fault::of(&error, &self.container))?;
        self.reached.store(true, Ordering::Relaxed);
        let status = answer.status();
        if status.is_success() {
            return match means_done(&call.method, status) {
                true => Ok(answer),
                false => Err(Fault::Malformed(format!(
                    "{} is no answer to {}",
                    status.as_u16(),
                    call.method
                ))),
            };
        }
        let (parts, body) = answer.into_parts();
        // If its body does not arrive, the head says enough.
        let body = body_of(body, ERROR_BODY).unwrap_or_default();
        let refusal = Refusal::read(status, &parts.headers, &body);
        Err(Fault::Refused(Box::new(refusal)))
    }

    fn run(&self, call: &Call, token: &Token) -> Result<Response<Body>, ureq::Error> {
        let between = if call.query.is_empty() { "" } else { "&" };
        let uri = format!(
            "{}{}?{}{between}{}",
            self.container.origin(),
            call.path,
            call.query,
            token.query()
        );
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(uri)
            .header("x-ms-version", VERSION);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let bytes = call.body.map_or(0, |body| body.len() as u64) + call.expected;
        let timeout = self.options.request_time(bytes);
        match (call.body, &self.options.max_rate) {
            (Some(body), Some(limit)) => {
                let mut reader = LimitedReader::new(body, Some(limit));
                let request = request
                    .header("content-length", body.len())
                    .body(SendBody::from_reader(&mut reader))?;
                let request = self.agent.configure_request(request);
                self.agent
                    .run(request.timeout_per_call(Some(timeout)).build())
            }
            (Some(body), None) => {
                let request = self.agent.configure_request(request.body(body)?);
                self.agent
                    .run(request.timeout_per_call(Some(timeout)).build())
            }
            (None, _) => {
                let request = self.agent.configure_request(request.body(())?);
                self.agent
                    .run(request.timeout_per_call(Some(timeout)).build())
            }
        }
    }

    fn explain(&self, operation: &Operation, fault: Fault, token: &Token) -> Error {
        let cannot = &operation.cannot;
        match fault {
            Fault::Refused(refusal) => explain(&refusal, operation, &self.container, token),
            Fault::Final(error) => error,
            Fault::Malformed(_) => {
                let host = self.container.host();
                Error::new(ErrorKind::Malformed, format!("{cannot}: {fault}"))
                    .hint(format!("is {host} the Blob service, or a proxy before it?"))
            }
            Fault::Unreachable(_) => self.unreachable(operation, &fault),
            Fault::Broken(_) => Error::new(ErrorKind::Deadline, format!("{cannot}: {fault}")),
        }
    }

    fn unreachable(&self, operation: &Operation, fault: &Fault) -> Error {
        let host = self.container.host();
        Error::new(
            ErrorKind::Unreachable,
            format!("{}: cannot reach {host}: {fault}", operation.cannot),
        )
        .hint("is the URL right, does the name resolve here, does a network policy or firewall let it through?")
    }

    fn too_late(&self, operation: &Operation, fault: Fault, attempts: Attempts) -> Error {
        let error = match fault {
            Fault::Unreachable(_) => self.unreachable(operation, &fault),
            fault => Error::new(
                ErrorKind::Deadline,
                format!("{}: {fault}", operation.cannot),
            )
            .hint("the service or the network did not recover in time; run it again later"),
        };
        error.and(format_args!(
            " (tried {} in {})",
            times(attempts.count),
            job::text::duration(attempts.elapsed)
        ))
    }

    /// Tells a person now and then that something is tried again: the log should show why a night was long.
    fn report(&self, operation: &Operation, fault: &Fault, pause: Duration) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = reported.is_none_or(|at| at.elapsed() >= REPORT_EVERY);
        if pause >= Duration::from_secs(1) && is_due {
            *reported = Some(Instant::now());
            job::say!(
                "{}: {fault}; trying again in {}",
                operation.cannot,
                job::text::duration(pause)
            );
        }
    }
}

/// Whether this status is the service's own for success: a proxy's page (200) must not pass for a block that is
/// stored or a blob that is deleted.
fn means_done(method: &Method, status: StatusCode) -> bool {
    match *method {
        Method::PUT => status == StatusCode::CREATED,
        Method::DELETE | Method::POST => status == StatusCode::ACCEPTED,
        _ => matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT),
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
