//! Keeps Candle from starting threads of its own.
//!
//! Candle hands element-wise work of 64 Ki elements and more to a pool of spinning threads, one a core, whose size it
//! reads from the environment at first use. The threads of this program are the runner's, one a micro-batch; both
//! together are more than twice as slow as ours alone (a training step of d = 128, L = 4 on two cores: 1373 ms against
//! 430). No result depends on it.

/// What Candle and rayon read.
#[cfg(unix)]
const VARIABLES: [&str; 2] = ["CANDLE_NUM_THREADS", "RAYON_NUM_THREADS"];

/// Starts the program anew in the same process, with one thread for Candle, unless the user has chosen. Changing the
/// environment of a running program would take `unsafe`.
#[cfg(unix)]
pub(crate) fn leave_them_to_us() {
    use std::os::unix::process::CommandExt;

    let unset: Vec<&str> = VARIABLES.into_iter().filter(|name| std::env::var_os(name).is_none()).collect();
    if unset.is_empty() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let mut command = std::process::Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    // Comes back only if it could not be done; then the program is slower and nothing else.
    let _ = command.args(arguments).envs(unset.into_iter().map(|name| (name, "1"))).exec();
}

#[cfg(not(unix))]
pub(crate) fn leave_them_to_us() {}
