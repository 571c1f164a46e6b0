//! With what a run's numbers were made: versions, machine, and when it was worked on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use attnlab_report::record::{Provenance, Session};

use crate::config::RunConfig;
use crate::durable;
use crate::error::Result;

/// A stretch of work that has begun.
pub(crate) struct Open {
    path: PathBuf,
    provenance: Provenance,
    began: Instant,
}

/// Notes that work on a run begins at `step`. An unreadable file of earlier sessions is replaced: nothing depends on it.
pub(crate) fn begin(path: &Path, config: &RunConfig, step: u64) -> Result<Open> {
    let before =
        fs::read_to_string(path).ok().and_then(|text| serde_json::from_str::<Provenance>(&text).ok());
    let mut provenance = Provenance {
        version: env!("CARGO_PKG_VERSION").to_string(),
        revision: revision(),
        machine: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        config_hash: config.hash(),
        sessions: before.map(|p| p.sessions).unwrap_or_default(),
    };
    let started = SystemTime::now().duration_since(UNIX_EPOCH).map(|d| d.as_secs()).unwrap_or_default();
    provenance.sessions.push(Session { started, seconds: None, from_step: step });
    let open = Open { path: path.to_owned(), provenance, began: Instant::now() };
    open.write()?;
    Ok(open)
}

impl Open {
    /// Notes that the work has come to its end.
    pub(crate) fn end(mut self) -> Result<()> {
        if let Some(session) = self.provenance.sessions.last_mut() {
            session.seconds = Some(self.began.elapsed().as_secs_f64());
        }
        self.write()
    }

    fn write(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.provenance).map_err(candle_core::Error::wrap)?;
        durable::write(&self.path, text.as_bytes())
    }
}

/// The git revision of the working folder, with `+` if it was changed since; none without git.
fn revision() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let revision = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { revision } else { revision + "+" })
}
