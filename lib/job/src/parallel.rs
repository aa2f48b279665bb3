use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// Does `work` for each number below `count`, in up to `workers` threads at once, and hands each result with its number to
/// `on_result`, in this thread and as soon as it is there. With one worker this thread does it all.
///
/// When `on_result` breaks, no further number is begun. What is under way is finished, and its results are handed over.
///
/// # Panics
/// When `work` has panicked, after all threads have ended.
pub fn in_parallel<T: Send>(
    count: usize,
    workers: usize,
    work: impl Fn(usize) -> T + Sync,
    mut on_result: impl FnMut(usize, T) -> ControlFlow<()>,
) {
    let next = AtomicUsize::new(0);
    let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < count);
    let mut hand_over = |number, result| {
        if on_result(number, result).is_break() {
            next.store(count, Ordering::Relaxed);
        }
    };
    let workers = workers.min(count);
    if workers <= 1 {
        while let Some(number) = take() {
            hand_over(number, work(number));
        }
        return;
    }
    thread::scope(|scope| {
        let (sender, results) = mpsc::channel();
        for _ in 0..workers {
            let sender = sender.clone();
            scope.spawn(|| {
                let sender = sender;
                while let Some(number) = take() {
                    if sender.send((number, work(number))).is_err() {
                        return;
                    }
                }
            });
        }
        // The results end when the last worker's sender is gone.
        drop(sender);
        for (number, result) in results {
            hand_over(number, result);
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn each_number_is_done_once() {
        for (count, workers) in [(0, 4), (1, 4), (100, 0), (100, 1), (100, 4), (3, 9)] {
            let mut results = Vec::new();
            in_parallel(
                count,
                workers,
                |number| number * 2,
                |number, result| {
                    results.push((number, result));
                    ControlFlow::Continue(())
                },
            );
            results.sort_unstable();
            let expected: Vec<_> = (0..count).map(|number| (number, number * 2)).collect();
            assert_eq!(results, expected, "{count} with {workers} workers");
        }
    }

    #[test]
    fn they_work_at_once() {
        let together = Barrier::new(3);
        let work = |_| together.wait().is_leader();
        let mut leaders = 0;
        in_parallel(3, 3, work, |_, is_leader| {
            leaders += usize::from(is_leader);
            ControlFlow::Continue(())
        });
        assert_eq!(leaders, 1);
    }

    #[test]
    fn what_is_under_way_is_handed_over_after_a_break() {
        // More than can ever be done.
        let count = 1 << 40;
        for workers in [1, 4] {
            let mut numbers = Vec::new();
            let note = |number, _| {
                numbers.push(number);
                ControlFlow::Break(())
            };
            in_parallel(count, workers, |number| number, note);
            numbers.sort_unstable();
            assert!(!numbers.is_empty() && numbers.iter().copied().eq(0..numbers.len()));
        }
    }
}
