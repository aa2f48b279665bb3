//! A pool of threads that work on jobs and give them back in order.
//!
//! Each thread is a lane with a channel before and one after it. Jobs enter the lanes in turn and leave them
//! in the same turn, so order needs neither numbers nor a lock. The channels are not bounded: the jobs that
//! go round are (see where they are made).

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use crate::failure::Failure;

/// Threads that work; they end, and are waited for, when this is dropped.
pub(crate) struct Lanes<J> {
    lanes: Vec<Lane<J>>,
    /// The lane that the next job enters.
    entry: usize,
    /// How many jobs are in the lanes.
    jobs: usize,
}

struct Lane<J> {
    entry: Sender<J>,
    exit: Receiver<J>,
    thread: JoinHandle<()>,
}

impl<J: Send + 'static> Lanes<J> {
    /// Starts `count` lanes; each works with a `work` of its own, made by `equip`.
    pub(crate) fn open<F>(count: usize, equip: impl Fn() -> F) -> io::Result<Self>
    where
        F: FnMut(&mut J) + Send + 'static,
    {
        let lanes = (0..count)
            .map(|_| Lane::open(equip()))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            lanes,
            entry: 0,
            jobs: 0,
        })
    }

    /// How many jobs are in the lanes.
    pub(crate) fn jobs(&self) -> usize {
        self.jobs
    }

    /// Gives a job to the next lane.
    ///
    /// # Errors
    /// That lane is gone.
    pub(crate) fn send(&mut self, job: J) -> io::Result<()> {
        let sent = self.lanes[self.entry].entry.send(job);
        sent.map_err(|_| Failure::Thread.error())?;
        self.entry = (self.entry + 1) % self.lanes.len();
        self.jobs += 1;
        Ok(())
    }

    /// Waits for the job that has been in the lanes for the longest; none if there is none.
    ///
    /// # Errors
    /// Its lane is gone.
    pub(crate) fn receive(&mut self) -> io::Result<Option<J>> {
        if self.jobs == 0 {
            return Ok(None);
        }
        let count = self.lanes.len();
        let lane = (self.entry + count - self.jobs % count) % count;
        let job = self.lanes[lane].exit.recv();
        self.jobs -= 1;
        job.map(Some).map_err(|_| Failure::Thread.error())
    }
}

impl<J: Send + 'static> Lane<J> {
    fn open(mut work: impl FnMut(&mut J) + Send + 'static) -> io::Result<Self> {
        let (entry, jobs) = mpsc::channel::<J>();
        let (done, exit) = mpsc::channel();
        let thread = thread::Builder::new().name("lane".into()).spawn(move || {
            for mut job in jobs {
                work(&mut job);
                if done.send(job).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self {
            entry,
            exit,
            thread,
        })
    }
}

impl<J> Drop for Lanes<J> {
    fn drop(&mut self) {
        for lane in self.lanes.drain(..) {
            drop((lane.entry, lane.exit));
            // One that panicked has said so, and its job was missed.
            let _ = lane.thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_order_however_long_each_takes() {
        for count in [1, 2, 5] {
            let mut lanes = Lanes::open(count, || {
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
                lanes.send(job).unwrap();
                // Taken out as they go, and sometimes all of them.
                while lanes.jobs() > 7 || (job % 30 == 29 && lanes.jobs() > 0) {
                    assert_eq!(lanes.receive().unwrap(), Some(expected * 3));
                    expected += 1;
                }
            }
            while let Some(job) = lanes.receive().unwrap() {
                assert_eq!(job, expected * 3);
                expected += 1;
            }
            assert_eq!(expected, 100);
        }
    }

    #[test]
    fn a_lane_that_is_lost() {
        let work = || |job: &mut u32| assert_ne!(*job, 1, "meant to fail");
        let mut lanes = Lanes::open(2, work).unwrap();
        for job in 0..3 {
            lanes.send(job).unwrap();
        }
        assert_eq!(lanes.receive().unwrap(), Some(0));
        assert!(lanes.receive().is_err());
        assert_eq!(lanes.receive().unwrap(), Some(2));
        assert_eq!(lanes.receive().unwrap(), None);
    }
}
