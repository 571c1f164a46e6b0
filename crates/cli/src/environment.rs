//! What libraries read from the environment before this program can tell them.
//!
//! Candle hands element-wise work of 64 Ki elements and more to a pool of spinning threads, one a core, whose size it
//! reads at first use. The threads of this program are the runner's, one a micro-batch; both together are more than
//! twice as slow as ours alone (a training step of d = 128, L = 4 on two cores: 1373 ms against 430).
//!
//! The allocator asks the system for huge pages. They make that step 7 % faster and smaller ones not at all, but a page
//! of 2 MiB is held whole for whatever lies in it: a third more memory (d = 256, L = 6, two threads: 253 MiB against
//! 208). A grid runs many steps side by side, so memory goes first; `MIMALLOC_ALLOW_THP=1` decides otherwise.
//!
//! Looking at a model frees and asks for the same large buffers layer after layer; kept, they need not be cleared by the
//! system each time (5 % of a forward pass of 1,024 tokens).
//!
//! No result depends on any of it.

/// What to set, unless the user has.
#[cfg(unix)]
const VARIABLES: [(&str, &str); 3] =
    [("CANDLE_NUM_THREADS", "1"), ("RAYON_NUM_THREADS", "1"), ("MIMALLOC_ALLOW_THP", "0")];

/// What to set for looking at a model.
#[cfg(unix)]
const LOOKING: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "-1");

/// Starts the program anew in the same process with these set. Changing the environment of a running program would
/// take `unsafe`, and come too late for the allocator.
#[cfg(unix)]
pub(crate) fn settle() {
    use std::os::unix::process::CommandExt;

    let verbs: Vec<_> = std::env::args_os().skip(1).take(2).collect();
    let looks = matches!(
        verbs.iter().filter_map(|verb| verb.to_str()).collect::<Vec<_>>()[..],
        ["inspect" | "doctor" | "generate" | "cost", ..] | ["bench", "look"]
    );
    let wanted = VARIABLES.into_iter().chain(looks.then_some(LOOKING));
    let unset: Vec<_> = wanted.filter(|(name, _)| std::env::var_os(name).is_none()).collect();
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
    let _ = command.args(arguments).envs(unset).exec();
}

#[cfg(not(unix))]
pub(crate) fn settle() {}
