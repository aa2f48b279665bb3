//! Workers that are given jobs and give them back, done, in the order in which they were given.
//!
//! Each worker has a channel before it and one after it. Jobs are given to the workers in turn and taken from them in
//! the same turn, so order needs neither numbers nor a lock. The channels are not bounded: whoever submits jobs bounds
//! how many there are.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use super::thread::{lost, spawn};

/// Threads that work. When this is dropped they end, and are waited for.
pub(crate) struct Workers<J> {
    workers: Vec<Worker<J>>,
    /// The worker that gets the next job.
    next: usize,
    /// How many jobs the workers have, done or not.
    jobs: usize,
}

struct Worker<J> {
    todo: Sender<J>,
    done: Receiver<J>,
    thread: JoinHandle<()>,
}

impl<J: Send + 'static> Workers<J> {
    /// Starts `count` threads of this name. `equip` makes for each what it does to a job.
    pub(crate) fn start<F>(name: &str, count: usize, equip: impl Fn() -> F) -> io::Result<Self>
    where
        F: FnMut(&mut J) + Send + 'static,
    {
        let workers = (0..count)
            .map(|_| Worker::start(name, equip()))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            workers,
            next: 0,
            jobs: 0,
        })
    }

    /// How many jobs the workers have, done or not.
    pub(crate) fn jobs(&self) -> usize {
        self.jobs
    }

    /// Gives a job to the next worker.
    ///
    /// # Errors
    /// That worker has panicked.
    pub(crate) fn submit(&mut self, job: J) -> io::Result<()> {
        let sent = self.workers[self.next].todo.send(job);
        sent.map_err(|_| lost())?;
        self.next = (self.next + 1) % self.workers.len();
        self.jobs += 1;
        Ok(())
    }

    /// Waits for the job that was submitted first; none if there is none.
    ///
    /// # Errors
    /// Its worker has panicked.
    pub(crate) fn next_done(&mut self) -> io::Result<Option<J>> {
        if self.jobs == 0 {
            return Ok(None);
        }
        let count = self.workers.len();
        let first = (self.next + count - self.jobs % count) % count;
        let job = self.workers[first].done.recv();
        self.jobs -= 1;
        job.map(Some).map_err(|_| lost())
    }
}

impl<J: Send + 'static> Worker<J> {
    fn start(name: &str, mut work: impl FnMut(&mut J) + Send + 'static) -> io::Result<Self> {
        let (todo, jobs) = mpsc::channel::<J>();
        let (give_done, done) = mpsc::channel();
        let thread = spawn(name, move || {
            for mut job in jobs {
                work(&mut job);
                if give_done.send(job).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { todo, done, thread })
    }
}

impl<J> Drop for Workers<J> {
    fn drop(&mut self) {
        for worker in self.workers.drain(..) {
            drop((worker.todo, worker.done));
            // One that panicked has said so, and its job was missed.
            let _ = worker.thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_order_however_long_each_takes() {
        for count in [1, 2, 5] {
            let mut workers = Workers::start("triple", count, || {
                |job: &mut u64| {
                    // The earlier of two neighbours takes longer.
                    let turns = if job.is_multiple_of(2) { 20_000 } else { 10 };
                    *job = (0..turns).fold(*job, |sum, _| std::hint::black_box(sum));
                    *job *= 3;
                }
            })
            .unwrap();
            let mut expected = 0;
            for job in 0..100 {
                workers.submit(job).unwrap();
                // Taken out as they go, and sometimes all of them.
                while workers.jobs() > 7 || (job % 30 == 29 && workers.jobs() > 0) {
                    assert_eq!(workers.next_done().unwrap(), Some(expected * 3));
                    expected += 1;
                }
            }
            while let Some(job) = workers.next_done().unwrap() {
                assert_eq!(job, expected * 3);
                expected += 1;
            }
            assert_eq!(expected, 100);
        }
    }

    #[test]
    fn a_worker_that_is_lost() {
        let work = || |job: &mut u32| assert_ne!(*job, 1, "meant to fail");
        let mut workers = Workers::start("fail", 2, work).unwrap();
        for job in 0..3 {
            workers.submit(job).unwrap();
        }
        assert_eq!(workers.next_done().unwrap(), Some(0));
        assert!(workers.next_done().is_err());
        assert_eq!(workers.next_done().unwrap(), Some(2));
        assert_eq!(workers.next_done().unwrap(), None);
    }
}
