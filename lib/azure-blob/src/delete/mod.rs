//! Blob Batch, and Delete Blob where the service takes no batches.

mod batch;
mod deletion;

use std::ops::ControlFlow;

use job::in_parallel;
use ureq::http::Method;

pub use deletion::Deletion;

use crate::request::{Call, Operation};
use crate::transport::Fault;
use crate::{Client, Error, ErrorKind, Permission};

impl Client {
    /// Deletes blobs, many in one request where the service takes that. Calls `done` with what became of each (by
    /// its index in `names`) as soon as it is known.
    ///
    /// # Errors
    /// Only what concerns all of them (no network, a credential that may not delete). The blobs that `done` was not called for
    /// may still be there then.
    pub fn delete(
        &self,
        names: &[&str],
        done: &mut dyn FnMut(usize, Deletion),
    ) -> Result<(), Error> {
        self.check(&[Permission::Delete])?;
        let mut batches = true;
        for (number, part) in names.chunks(batch::MAX_PARTS).enumerate() {
            let first = number * batch::MAX_PARTS;
            let mut done_here = |at: usize, deletion| done(first + at, deletion);
            let mut singly: Vec<usize> = (0..part.len()).collect();
            // A batch of one is no quicker than the one.
            if batches && part.len() > 1 {
                match self.delete_batch(part)? {
                    Some(deletions) => singly = report(deletions, &mut done_here),
                    None => batches = false,
                }
            }
            self.delete_singly(part, &singly, &mut done_here)?;
        }
        Ok(())
    }

    /// What became of each, as far as the answer to the batch says so; none if the service takes no batches.
    fn delete_batch(&self, names: &[&str]) -> Result<Option<Vec<Option<Deletion>>>, Error> {
        let operation = Operation::new("cannot delete a batch of blobs", &[Permission::Delete]);
        let exchange = self.exchange();
        let deleted = exchange.ask(&operation, |authorization| {
            let (boundary, body) = batch::request(self, names, authorization);
            let call = Call::new(
                Method::POST,
                self.container().path(),
                "restype=container&comp=batch",
            )
            .header(
                "content-type",
                format!("multipart/mixed; boundary={boundary}"),
            )
            .body(body.as_bytes());
            let answer = exchange.send(&call, authorization)?;
            batch::answers(answer, names.len())
        });
        match deleted {
            Ok(deletions) => Ok(Some(deletions)),
            Err(error) => match error.kind() {
                ErrorKind::Identity
                | ErrorKind::Unreachable
                | ErrorKind::Deadline
                | ErrorKind::ContainerNotFound => Err(error),
                // Another kind of service, or a credential that does not allow batches (to an identity
                // that takes `Microsoft.Storage/storageAccounts/blobServices/containers/write`, and a prune needs no more
                // than `…/blobs/delete`).
                _ => Ok(None),
            },
        }
    }

    /// Deletes those at the indexes `at` of `names`, several at once.
    fn delete_singly(
        &self,
        names: &[&str],
        at: &[usize],
        done: &mut dyn FnMut(usize, Deletion),
    ) -> Result<(), Error> {
        let names = at.iter().filter_map(|at| Some((*at, *names.get(*at)?)));
        let names: Vec<(usize, &str)> = names.collect();
        let mut ended = Ok(());
        let delete = |number: usize| self.delete_one(names[number].1);
        in_parallel(
            names.len(),
            self.options().concurrency,
            delete,
            |number, deletion| match deletion {
                Deletion::Failed(error) if concerns_all(&error) => {
                    ended = Err(error);
                    ControlFlow::Break(())
                }
                deletion => {
                    done(names[number].0, deletion);
                    ControlFlow::Continue(())
                }
            },
        );
        ended
    }

    fn delete_one(&self, name: &str) -> Deletion {
        let call = Call::new(Method::DELETE, self.url(name).path(), "");
        let operation = Operation::new(format!("cannot delete '{name}'"), &[Permission::Delete]);
        let exchange = self.exchange();
        let mut retained = None;
        let deleted = exchange.ask(&operation, |authorization| {
            match exchange.send(&call, authorization) {
                Ok(_) => Ok(Deletion::Deleted),
                Err(Fault::Refused(refusal)) => {
                    retained = refusal.retained();
                    Err(Fault::Refused(refusal))
                }
                Err(fault) => Err(fault),
            }
        });
        match (deleted, retained) {
            (Ok(deletion), _) => deletion,
            (Err(_), Some(by)) => Deletion::Retained(by.to_owned()),
            (Err(error), None) if error.kind() == ErrorKind::NotFound => Deletion::Gone,
            (Err(error), None) => Deletion::Failed(error),
        }
    }
}

fn concerns_all(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Token
            | ErrorKind::Identity
            | ErrorKind::Unreachable
            | ErrorKind::Deadline
            | ErrorKind::ContainerNotFound
    )
}

/// Reports what is known, and returns the indexes of the blobs of which nothing is.
fn report(deletions: Vec<Option<Deletion>>, done: &mut dyn FnMut(usize, Deletion)) -> Vec<usize> {
    let mut unknown = Vec::new();
    for (at, deletion) in deletions.into_iter().enumerate() {
        match deletion {
            Some(deletion) => done(at, deletion),
            None => unknown.push(at),
        }
    }
    unknown
}
