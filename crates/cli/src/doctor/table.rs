//! A checkup on the terminal: one table, and a paragraph for each failure mode there is more to say of.

use attnlab_report::doctor::{Checkup, Entry, Mark, Trial};
use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};

/// A line under the head and none between rows.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

fn table(width: u16, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.set_header(header.to_vec());
    rows.into_iter().for_each(|row| {
        table.add_row(row);
    });
    table.trim_fmt()
}

fn row(entry: &Entry) -> Vec<String> {
    let mark = match entry.mark {
        Mark::Good => "✓",
        Mark::Bad => "✕",
        Mark::Open => "○",
    };
    vec![
        entry.name.clone(),
        format!("{mark} {}", entry.verdict),
        entry.severity.clone(),
        entry.heads.clone(),
        entry.number.clone(),
        entry.baseline.clone(),
        entry.causal.clone(),
    ]
}

fn paragraph(entry: &Entry) -> Option<String> {
    if entry.says.is_empty() || entry.verdict == "absent" && entry.interventions.is_empty() {
        return None;
    }
    let mut text = format!("{} ({})\n  {}", entry.title, entry.verdict, entry.says.join("\n  "));
    for [did, effect, role] in &entry.interventions {
        text.push_str(&format!("\n  - {did}: {effect}: {role}"));
    }
    if let Some([name, change, expectation, source]) = entry.remedies.first() {
        let others: Vec<&str> = entry.remedies.iter().skip(1).map(|[name, ..]| name.as_str()).collect();
        let others = if others.is_empty() { String::new() } else { format!("; also {}", others.join(", ")) };
        text.push_str(&format!("\n  said to help: {name} ({change}): {expectation} ({source}){others}"));
    }
    Some(text)
}

/// The whole.
pub(super) fn checkup(checkup: &Checkup, width: u16) -> String {
    let header =
        ["failure mode", "verdict", "severity", "heads", "number [95 %]", "held against", "intervention"];
    let mut parts = vec![
        format!("{} ({})\n{}", checkup.model, checkup.note, checkup.texts),
        table(width, &header, checkup.entries.iter().map(row)),
        checkup.headline(),
    ];
    parts.extend(checkup.entries.iter().filter_map(paragraph));
    parts.extend(checkup.trial.as_ref().map(|trial| self::trial(trial, width)));
    parts.join("\n\n")
}

/// What became of remedies.
fn trial(trial: &Trial, width: u16) -> String {
    let header: Vec<&str> = trial.columns.iter().map(String::as_str).collect();
    format!("{}\n\n{}", trial.setting, table(width, &header, trial.rows.iter().map(|row| row.cells.clone())))
}
