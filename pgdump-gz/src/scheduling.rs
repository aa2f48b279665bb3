//! How a dump shares the CPUs with a server on the same machine, and its programs with each other.

/// Makes the dump batch work (SCHED_BATCH, sched(7)), and the programs that it starts from now on: one that wakes waits
/// for its turn instead of interrupting whoever runs. They are woken all the time, each by the one before it, and take
/// more at once then. Their share of the CPUs stays what it was.
///
/// Another policy than the default is somebody's wish, and stays.
#[expect(
    unsafe_code,
    reason = "neither the standard library nor rustix has these system calls"
)]
pub(crate) fn batch() {
    const THIS_THREAD: libc::pid_t = 0;
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: system calls that read one structure, which outlives them. If they are refused the dump is a little slower.
    unsafe {
        if libc::sched_getscheduler(THIS_THREAD) == libc::SCHED_OTHER {
            libc::sched_setscheduler(THIS_THREAD, libc::SCHED_BATCH, &raw const priority);
        }
    }
}
