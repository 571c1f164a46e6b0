//! Tasks × encodings at a glance: a small field for each length bin.

use crate::counts::Finding;
use crate::loss;
use crate::record::Metric;
use crate::summary::{BinSummary, Cell, Summary};
use crate::table::{ending, fit, relative};

/// One row: a task.
pub(crate) struct Row {
    pub(crate) task: String,
    pub(crate) control: bool,
    pub(crate) cells: Vec<Square>,
}

/// One pair of task and column; the template leaves it empty when nothing is planned.
pub(crate) struct Square {
    pub(crate) column: usize,
    pub(crate) planned: bool,
    pub(crate) mark: &'static str,
    pub(crate) label: String,
    pub(crate) note: String,
    pub(crate) bins: Vec<Field>,
}

/// One bin: colour and number for both metrics; of a loss the same twice.
pub(crate) struct Field {
    pub(crate) title: String,
    pub(crate) exact: Ink,
    pub(crate) token: Ink,
}

/// A number on its colour.
#[derive(Clone)]
pub(crate) struct Ink {
    pub(crate) text: String,
    pub(crate) style: String,
}

/// Every task against every column.
pub(crate) fn rows(summary: &Summary) -> Vec<Row> {
    summary
        .tasks
        .iter()
        .map(|task| Row {
            task: task.clone(),
            control: summary.is_order_free(task),
            cells: summary
                .columns
                .iter()
                .enumerate()
                .map(|(column, name)| square(summary, column, name, summary.cell(task, name)))
                .collect(),
        })
        .collect()
}

fn square(summary: &Summary, column: usize, name: &str, cell: Option<&Cell>) -> Square {
    let Some(cell) = cell else {
        return Square {
            column,
            planned: false,
            mark: "",
            label: String::new(),
            note: String::new(),
            bins: Vec::new(),
        };
    };
    let (mark, note) = match cell.finding {
        Finding::Generalises => ("ok", "holds".to_owned()),
        Finding::FailsToGeneralise(_) => ("bad", format!("breaks at {}", ending(cell))),
        Finding::Mixed(_) => {
            ("part", format!("{} of {} break", cell.counts.fail_to_generalise, cell.counts.tested()))
        }
        Finding::Fits => ("part", "not tested beyond".to_owned()),
        // Faded like what did not train: neither says anything about the encoding.
        Finding::Trivial => ("untrained", "a constant passes".to_owned()),
        Finding::FailsToTrain => ("untrained", "did not train".to_owned()),
        Finding::Diverged => ("untrained", "diverged".to_owned()),
        Finding::Measured if cell.counts.diverged > 0 => ("", format!("nats · {}", ending(cell))),
        Finding::Measured => ("", "nats per token".to_owned()),
        Finding::Unfinished if cell.counts.running > 0 => ("", "under way".to_owned()),
        Finding::Unfinished if cell.counts.unreadable > 0 => ("", "unreadable".to_owned()),
        Finding::Unfinished => ("", "waiting".to_owned()),
    };
    let by_loss = summary.by_loss(&cell.task);
    let note = match cell.counts.fit() {
        n if n > 0 && n < cell.counts.judged() => format!("{note} · fit {}", fit(&cell.counts)),
        _ => note,
    };
    let bins = cell
        .bins
        .iter()
        .map(|bin| {
            if by_loss {
                return loss_field(bin);
            }
            let ink = |metric: Metric| {
                let mean = bin.all.of(metric).mean;
                let chance = bin.chance.of(metric);
                Ink { text: number(mean), style: field_style(relative(mean, chance)) }
            };
            let score = bin.all.of(cell.metric);
            Field {
                title: format!(
                    "{}–{}: {:.1} %, chance {:.1} %, {} different sequences",
                    bin.from,
                    bin.to,
                    score.mean * 100.0,
                    bin.chance.of(cell.metric) * 100.0,
                    bin.distinct
                ),
                exact: ink(Metric::Exact),
                token: ink(Metric::Token),
            }
        })
        .collect();
    Square {
        column,
        planned: true,
        mark,
        label: format!("{} with {} {name}: {note}", cell.task, summary.by),
        note,
        bins,
    }
}

/// A loss has no best and no worst: its field has no colour.
fn loss_field(bin: &BinSummary) -> Field {
    let mean = bin.loss.map(|loss| loss.mean);
    let ink = Ink {
        text: mean.map_or("–".to_owned(), |loss| format!("{loss:.0$}", usize::from(loss < 10.0) + 1)),
        style: "background:var(--plain);color:var(--ink);font-size:.84em".to_owned(),
    };
    let score = mean.map_or("no finite loss".to_owned(), |loss| {
        format!("loss {} nats per token, perplexity {}", loss::nats(loss), loss::perplexity(loss))
    });
    let title = format!("{}–{}: {score}, {} different sequences", bin.from, bin.to, bin.distinct);
    Field { title, exact: ink.clone(), token: ink }
}

/// Whole percent; what is short of perfect never reads 100.
fn number(mean: f64) -> String {
    let percent = format!("{:.0}", mean * 100.0);
    if percent == "100" && mean < 1.0 { ">99".to_owned() } else { percent }
}

/// Rust at chance, sand half way, teal at perfect, with the ink that reads better on it.
fn field_style(relative: f64) -> String {
    const STOPS: [[f64; 3]; 3] = [[190.0, 73.0, 44.0], [240.0, 222.0, 178.0], [22.0, 122.0, 110.0]];
    let [low, middle, high] = STOPS;
    let (from, to, t) =
        if relative < 0.5 { (low, middle, relative * 2.0) } else { (middle, high, relative * 2.0 - 1.0) };
    let mut rgb = [0.0; 3];
    for ((mixed, a), b) in rgb.iter_mut().zip(from).zip(to) {
        *mixed = a + (b - a) * t;
    }
    let [r, g, b] = rgb;
    let light = 0.2126 * r + 0.7152 * g + 0.0722 * b > 128.0;
    let ink = if light { "#1c2128" } else { "#ffffff" };
    format!("background:rgb({r:.0} {g:.0} {b:.0});color:{ink}")
}
