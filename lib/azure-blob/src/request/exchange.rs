//! Requests to one container, each tried until it succeeds or is given up.

use rate_limit::LimitedReader;
use ureq::http::{HeaderValue, Method, Request, Response, StatusCode};
use ureq::{Body, SendBody};

use super::call::Call;
use super::explanation::explain;
use super::operation::Operation;
use crate::credential::{Authorization, Credential, CredentialSource};
use crate::transport::{Cancel, Fault, Host, Next, Refusal, Route, agent, body_of};
use crate::{ContainerUrl, Error, ErrorKind, Options};

/// The version of the REST API. The first with all that we use is 2021-12-02 (the Cold tier); Azurite 3.37
/// takes this one as the service does.
const VERSION: &str = "2023-11-03";
/// The body of an error is never longer.
const ERROR_BODY: u64 = 64 << 10;

/// What all requests to a container share.
#[derive(Debug)]
pub(crate) struct Exchange {
    container: ContainerUrl,
    credential: Credential,
    host: Host,
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
        source: CredentialSource,
        options: Options,
    ) -> Result<Self, Error> {
        let credential = Credential::new(source, &container, &options)?;
        let route = Route::to(
            container.is_https(),
            container.host(),
            container.is_loopback(),
        )?;
        let agent = agent(route, &options);
        let host = Host::new(container.host(), "the Blob service", agent, options);
        Ok(Self {
            container,
            credential,
            host,
        })
    }

    pub(crate) fn container(&self) -> &ContainerUrl {
        &self.container
    }

    pub(crate) fn options(&self) -> &Options {
        self.host.options()
    }

    pub(crate) fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Tries until an attempt succeeds, meets a fault that does not pass, or runs into the deadline.
    pub(crate) fn retry<T>(
        &self,
        operation: &Operation,
        cancel: &Cancel,
        mut attempt: impl FnMut(&Authorization) -> Result<T, Fault>,
    ) -> Result<T, GivenUp> {
        let cannot = &operation.cannot;
        let mut in_doubt = false;
        let mut renewals = 0;
        let current = |in_doubt| {
            let current = self.credential.current(cancel);
            current.map_err(|error| GivenUp {
                error: error.within(cannot),
                in_doubt,
            })
        };
        let mut authorization = current(false)?;
        let mut tries = self.host.tries(cannot);
        loop {
            let fault = match attempt(&authorization) {
                Ok(done) => return Ok(done),
                Err(fault) => fault,
            };
            in_doubt |= fault.leaves_doubt();
            let given_up = |error| GivenUp { error, in_doubt };
            let is_renewed = match &fault {
                Fault::Refused(refusal) => self
                    .credential
                    .renewed(&authorization, refusal, &mut renewals, cancel)
                    .map_err(|error| given_up(error.within(format_args!("{cannot}: {fault}"))))?,
                _ => false,
            };
            if !is_renewed {
                match tries.after(&fault, cancel) {
                    Next::Again => {}
                    Next::Over(error) => return Err(given_up(error)),
                    Next::Final => return Err(given_up(self.explain(operation, fault))),
                }
            }
            authorization = current(in_doubt)?;
        }
    }

    /// As [`retry`](Self::retry), for a request that nobody cancels and that may safely be repeated.
    pub(crate) fn ask<T>(
        &self,
        operation: &Operation,
        attempt: impl FnMut(&Authorization) -> Result<T, Fault>,
    ) -> Result<T, Error> {
        Ok(self.retry(operation, &Cancel::default(), attempt)?)
    }

    /// Makes a request once. Any status but the one that means success is a fault.
    pub(crate) fn send(
        &self,
        call: &Call,
        authorization: &Authorization,
    ) -> Result<Response<Body>, Fault> {
        let answer = self.run(call, authorization)?;
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

    fn run(&self, call: &Call, authorization: &Authorization) -> Result<Response<Body>, Fault> {
        let signed = authorization.sign(&call.path, &call.query);
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(format!("{}{}", self.container.origin(), signed.target()))
            .header("x-ms-version", VERSION);
        if let Some(mut header) = signed
            .header()
            .and_then(|it| HeaderValue::from_str(it).ok())
        {
            header.set_sensitive(true);
            request = request.header("authorization", header);
        }
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let bytes = call.body.map_or(0, |body| body.len() as u64) + call.expected;
        let built = match (call.body, &self.options().max_rate) {
            (Some(body), Some(limit)) => {
                let mut reader = LimitedReader::new(body, Some(limit));
                request
                    .header("content-length", body.len())
                    .body(SendBody::from_reader(&mut reader))
                    .map(|it| self.host.run(it, bytes))
            }
            (Some(body), None) => request.body(body).map(|it| self.host.run(it, bytes)),
            (None, _) => request.body(()).map(|it| self.host.run(it, bytes)),
        };
        built.map_err(|error| {
            let said = format!("no request can be made: {error}");
            Fault::Final(Error::new(ErrorKind::Usage, said))
        })?
    }

    fn explain(&self, operation: &Operation, fault: Fault) -> Error {
        match fault {
            Fault::Refused(refusal) => {
                explain(&refusal, operation, &self.container, &self.credential)
            }
            fault => self.host.error(&operation.cannot, fault),
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
