//! How a dump shares the CPUs with a server on the same machine, and its programs with each other.

/// Makes this process, and the programs that it starts from now on, batch work (SCHED_BATCH, sched(7)): one that wakes up
/// waits for its turn instead of interrupting whoever runs. In a pipeline each program wakes the next all the time; when
/// none interrupts another, each finds more to read at once. Their share of the CPUs stays the same.
///
/// A policy other than the default was chosen by somebody, and stays.
#[expect(
    unsafe_code,
    reason = "neither the standard library nor rustix has these system calls"
)]
pub(crate) fn run_as_batch() {
    const THIS_THREAD: libc::pid_t = 0;
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: system calls that read one structure, which outlives them. If they are refused the dump is a little slower.
    unsafe {
        if libc::sched_getscheduler(THIS_THREAD) == libc::SCHED_OTHER {
            libc::sched_setscheduler(THIS_THREAD, libc::SCHED_BATCH, &raw const priority);
        }
    }
}
