//! A pool of threads that work on jobs and give them back in order.
//!
//! Each thread is a lane with a channel before and one after it. Jobs enter the lanes in turn and leave them
//! in the same turn, so order needs neither numbers nor a lock. The channels are not bounded: the jobs that
//! go round are (see where they are made).

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

/// Where jobs enter.
pub(crate) struct Entry<J> {
    lanes: Vec<Sender<J>>,
    turn: usize,
}

/// Where jobs leave, in the order they entered.
pub(crate) struct Exit<J> {
    lanes: Vec<Receiver<J>>,
    turn: usize,
}

/// Lanes that have been opened.
pub(crate) struct Lanes<J> {
    pub(crate) entry: Entry<J>,
    pub(crate) exit: Exit<J>,
    /// They end when the entry is gone and the jobs are done, or when the exit is gone.
    pub(crate) threads: Vec<JoinHandle<()>>,
}

/// Starts `count` lanes; each works with a `work` of its own, made by `equip`.
pub(crate) fn open<J, F>(count: usize, equip: impl Fn() -> F) -> io::Result<Lanes<J>>
where
    J: Send + 'static,
    F: FnMut(&mut J) + Send + 'static,
{
    let mut entry = Vec::with_capacity(count);
    let mut exit = Vec::with_capacity(count);
    let mut threads = Vec::with_capacity(count);
    for _ in 0..count {
        let (send_in, receive_in) = mpsc::channel::<J>();
        let (send_out, receive_out) = mpsc::channel();
        let mut work = equip();
        threads.push(thread::Builder::new().name("lane".into()).spawn(move || {
            for mut job in receive_in {
                work(&mut job);
                if send_out.send(job).is_err() {
                    break;
                }
            }
        })?);
        entry.push(send_in);
        exit.push(receive_out);
    }
    Ok(Lanes {
        entry: Entry {
            lanes: entry,
            turn: 0,
        },
        exit: Exit {
            lanes: exit,
            turn: 0,
        },
        threads,
    })
}

impl<J> Entry<J> {
    /// Gives a job to the next lane; false if that lane is gone.
    pub(crate) fn send(&mut self, job: J) -> bool {
        let lane = self.turn;
        self.turn = (lane + 1) % self.lanes.len();
        self.lanes[lane].send(job).is_ok()
    }
}

impl<J> Exit<J> {
    /// The next job; none if its lane is gone.
    pub(crate) fn receive(&mut self) -> Option<J> {
        let lane = self.turn;
        self.turn = (lane + 1) % self.lanes.len();
        self.lanes[lane].recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_order_however_long_each_takes() {
        for count in [1, 2, 5] {
            let mut lanes = open(count, || {
                |job: &mut u64| {
                    // The earlier of two neighbours takes longer.
                    let turns = if job.is_multiple_of(2) { 20_000 } else { 10 };
                    *job = (0..turns).fold(*job, |sum, _| std::hint::black_box(sum));
                    *job *= 3;
                }
            })
            .unwrap();
            for job in 0..100 {
                assert!(lanes.entry.send(job));
            }
            for job in 0..100 {
                assert_eq!(lanes.exit.receive(), Some(job * 3));
            }
            drop(lanes.entry);
            assert_eq!(lanes.exit.receive(), None);
            for thread in lanes.threads {
                thread.join().unwrap();
            }
        }
    }

    #[test]
    fn a_lane_that_is_lost() {
        let mut lanes = open(2, || |job: &mut u32| assert_ne!(*job, 1, "meant to fail")).unwrap();
        for job in 0..3 {
            lanes.entry.send(job);
        }
        assert_eq!(lanes.exit.receive(), Some(0));
        assert_eq!(lanes.exit.receive(), None);
        assert_eq!(lanes.exit.receive(), Some(2));
    }
}
