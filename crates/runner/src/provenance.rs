//! With what a run's numbers were made: versions, machine, and when it was worked on.

use std::fs;
use std::path::{Path, PathBuf};
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
    let version = env!("CARGO_PKG_VERSION").to_string();
    let revision = Some(env!("ATTNLAB_REVISION").to_string()).filter(|revision| !revision.is_empty());
    let started = SystemTime::now().duration_since(UNIX_EPOCH).map(|d| d.as_secs()).unwrap_or_default();
    let mut sessions = before.map(|p| p.sessions).unwrap_or_default();
    sessions.push(Session {
        version: version.clone(),
        revision: revision.clone(),
        started,
        seconds: None,
        from_step: step,
    });
    let provenance = Provenance {
        version,
        revision,
        machine: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        config_hash: config.hash(),
        sessions,
    };
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
