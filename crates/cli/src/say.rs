//! How the program talks: results to stdout, everything else to stderr.
//!
//! Unlike `println!`, neither panics when nobody listens any more, as after `attnlab … | head -1`.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write, stderr, stdout};

use anyhow::{Context, Result};

/// Writes a result and a line's end to stdout. A reader that has gone had enough; any other failure is an error.
pub(crate) fn result(text: impl Display) -> Result<()> {
    let mut out = stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(e).context("could not write to stdout"),
        _ => Ok(()),
    }
}

/// Columns of a text on stdout: the terminal's, or 120 where there is none.
pub(crate) fn width() -> u16 {
    let terminal = stdout().is_terminal().then(|| comfy_table::Table::new().width()).flatten();
    terminal.unwrap_or(120)
}

/// `1 run`, `2 runs`.
pub(crate) fn count(n: usize, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

/// Writes a line to stderr if it can: a run must not end because nobody reads how it goes.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(stderr().lock(), "{text}");
}
