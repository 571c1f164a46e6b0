//! What the registry says of a kind of task, as a task.

use anyhow::{Context, Result};
use attnlab_tasks::{Info, Task, TaskConfig};
use toml::{Table, Value};

/// The task of a kind's example.
pub(crate) fn example(info: &Info) -> Result<TaskConfig> {
    let mut own: Table =
        info.example.parse().with_context(|| format!("while reading {}'s example", info.kind))?;
    // A file's `[task]` names the kind in a key; the kind's own form has a table of that name.
    own.remove("kind");
    let mut table = Table::new();
    for common in ["protocol", "bos"] {
        table.extend(own.remove(common).map(|value| (common.to_owned(), value)));
    }
    table.insert(info.kind.to_owned(), Value::Table(own));
    table.try_into().with_context(|| format!("while reading {}'s example", info.kind))
}

/// The kind's example under each of its protocols.
pub(crate) fn under_each_protocol(info: &Info) -> Result<Vec<TaskConfig>> {
    let example = example(info)?;
    let under = |protocol: &_| TaskConfig { protocol: Some(*protocol), ..example.clone() };
    Ok(info.protocols.iter().map(under).collect())
}

/// The least length from `from` on that the task admits, or else the greatest below.
pub(crate) fn length_near(task: &dyn Task, from: usize) -> Option<usize> {
    const FAR: usize = 1000;
    let above = (from..from + FAR).find(|length| task.admits(*length));
    above.or_else(|| (1..from).rev().find(|length| task.admits(*length)))
}
