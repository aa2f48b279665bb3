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
    const THIS_THREAD: libc::c_long = 0;
    // The kernel's sched_param is this one number.
    let priority: libc::c_int = 0;
    // The calls themselves: musl has functions of these names that only fail, since POSIX wants them to be about a process.
    // SAFETY: system calls that read one number, which outlives them. If they are refused the dump is a little slower.
    unsafe {
        let policy = libc::syscall(libc::SYS_sched_getscheduler, THIS_THREAD);
        if policy == libc::c_long::from(libc::SCHED_OTHER) {
            let batch = libc::c_long::from(libc::SCHED_BATCH);
            libc::syscall(
                libc::SYS_sched_setscheduler,
                THIS_THREAD,
                batch,
                &raw const priority,
            );
        }
    }
}
