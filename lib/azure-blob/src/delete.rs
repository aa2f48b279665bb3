//! Blob Batch, and Delete Blob where the service does not take that.

use std::ops::ControlFlow;

use job::in_parallel;
use ureq::http::Method;

use crate::batch;
use crate::exchange::Call;
use crate::refusal::Asked;
use crate::retry::Fault;
use crate::token::Need;
use crate::{Client, Error, ErrorKind};

/// What became of a blob that was to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// It is deleted.
    Deleted,
    /// It was not there any more.
    Gone,
    /// An immutability policy, a legal hold or a lease retains it: which (`immutability policy`,
    /// `legal hold`, `lease`).
    Retained(String),
    /// It is still there: why.
    Failed(Error),
}

impl Client {
    /// Deletes blobs, many in a request where the service takes that, and tells `told` what became of
    /// each (by its place in `names`) as soon as it is known.
    ///
    /// # Errors
    /// Only what concerns all of them (no network, a token without `d`); then those that `told` has not
    /// heard of may still be there.
    pub fn delete(
        &self,
        names: &[&str],
        told: &mut dyn FnMut(usize, Deletion),
    ) -> Result<(), Error> {
        self.check(&[Need::Delete])?;
        let mut batches = true;
        for (number, part) in names.chunks(batch::MOST).enumerate() {
            let first = number * batch::MOST;
            let mut told_here = |at: usize, deletion| told(first + at, deletion);
            let mut singly: Vec<usize> = (0..part.len()).collect();
            // One alone is deleted as quickly without a batch.
            if batches && part.len() > 1 {
                match self.delete_batch(part)? {
                    Some(deletions) => singly = tell(deletions, &mut told_here),
                    None => batches = false,
                }
            }
            self.delete_singly(part, &singly, &mut told_here)?;
        }
        Ok(())
    }

    /// What became of each, as far as the batch's answer says so; none if the service takes no batches.
    fn delete_batch(&self, names: &[&str]) -> Result<Option<Vec<Option<Deletion>>>, Error> {
        let asked = Asked::new("cannot delete a batch of blobs", &[Need::Delete]);
        let deleted = self.ask(&asked, |token| {
            let (boundary, body) = batch::request(self, names, token);
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
            let answer = self.send(&call, token)?;
            batch::answers(answer, names.len())
        });
        match deleted {
            Ok(deletions) => Ok(Some(deletions)),
            Err(error) => match error.kind() {
                ErrorKind::Unreachable | ErrorKind::Deadline | ErrorKind::ContainerNotFound => {
                    Err(error)
                }
                // Another kind of service, or a token that does not allow it in this form.
                _ => Ok(None),
            },
        }
    }

    /// Those at the places `at` of `names`, several at once.
    fn delete_singly(
        &self,
        names: &[&str],
        at: &[usize],
        told: &mut dyn FnMut(usize, Deletion),
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
                    told(names[number].0, deletion);
                    ControlFlow::Continue(())
                }
            },
        );
        ended
    }

    fn delete_one(&self, name: &str) -> Deletion {
        let call = Call::new(Method::DELETE, self.url(name).path(), "");
        let asked = Asked::new(format!("cannot delete '{name}'"), &[Need::Delete]);
        let mut retained = None;
        let deleted = self.ask(&asked, |token| match self.send(&call, token) {
            Ok(_) => Ok(Deletion::Deleted),
            Err(Fault::Refused(refusal)) => {
                retained = refusal.retained();
                Err(Fault::Refused(refusal))
            }
            Err(fault) => Err(fault),
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
            | ErrorKind::Unreachable
            | ErrorKind::Deadline
            | ErrorKind::ContainerNotFound
    )
}

/// Tells what is known, and gives the places of which nothing is.
fn tell(deletions: Vec<Option<Deletion>>, told: &mut dyn FnMut(usize, Deletion)) -> Vec<usize> {
    let mut unknown = Vec::new();
    for (at, deletion) in deletions.into_iter().enumerate() {
        match deletion {
            Some(deletion) => told(at, deletion),
            None => unknown.push(at),
        }
    }
    unknown
}
