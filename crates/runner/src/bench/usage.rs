//! What the process has used so far, where the system tells.

#[cfg(unix)]
pub(crate) use told::cpu_ms;
#[cfg(unix)]
pub use told::peak_rss_mib;
#[cfg(not(unix))]
pub(crate) use untold::cpu_ms;
#[cfg(not(unix))]
pub use untold::peak_rss_mib;

#[cfg(unix)]
mod told {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;

    /// User and system time.
    pub(crate) fn cpu_ms() -> Option<f64> {
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        Some((usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e3)
    }

    /// The most memory that the process has held at any time, in MiB.
    pub fn peak_rss_mib() -> Option<f64> {
        let held = getrusage(UsageWho::RUSAGE_SELF).ok()?.max_rss() as f64;
        // Linux counts in KiB, macOS in bytes.
        Some(if cfg!(target_vendor = "apple") { held / 1048576.0 } else { held / 1024.0 })
    }
}

#[cfg(not(unix))]
mod untold {
    pub(crate) fn cpu_ms() -> Option<f64> {
        None
    }

    /// Not told here.
    pub fn peak_rss_mib() -> Option<f64> {
        None
    }
}
