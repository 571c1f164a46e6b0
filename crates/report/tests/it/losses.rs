//! Tasks without a right answer: losses take the place of accuracies everywhere.

use std::path::Path;

use attnlab_report::{
    Control, Finding, Results, Summary, TableStyle, Verdict, figure_svg, html, results_csv, terminal_table,
    verdict,
};

use crate::fixture::{Fate, TEXT, write, write_run};

fn summary(dir: &Path) -> Summary {
    Summary::new(&Results::read(dir).unwrap(), None)
}

/// A text beside a task, three encodings, of which `alibi` has the lowest loss beyond the training lengths.
fn mixed(dir: &Path, seeds: u64) {
    write(
        dir,
        &[("majority", 0.5), (TEXT, 0.0)],
        &["none", "rope", "alibi"],
        seeds,
        |task, position| match (task, position) {
            (TEXT, "none") => Fate::Text(2.5, 0.2),
            (TEXT, "rope") => Fate::Text(1.5, 2.0),
            (TEXT, _) => Fate::Text(2.0, 0.0),
            _ => Fate::Holds,
        },
    );
}

/// The block of the text in the terminal.
fn block(dir: &Path, width: u16) -> String {
    let table = terminal_table(&summary(dir), TableStyle { width, colour: false });
    let from = table.find(TEXT).unwrap();
    let block = table[from..].split("\n\n").next().unwrap().to_owned();
    assert!(block.lines().all(|line| line.chars().count() <= usize::from(width)), "{block}");
    block
}

fn line<'a>(text: &'a str, start: &str) -> &'a str {
    text.lines()
        .find(|line| line.trim_start().starts_with(start))
        .unwrap_or_else(|| panic!("no {start} in\n{text}"))
}

/// The loss of one bin in one run, as its evaluation has it.
fn loss(dir: &Path, position: &str, bin: usize, seed: u64) -> f64 {
    let results = Results::read(dir).unwrap();
    let found = results
        .finished()
        .find(|(run, _)| {
            (&*run.planned.task, &*run.planned.position, run.planned.seed) == (TEXT, position, seed)
        })
        .map(|(_, evaluation)| evaluation.bins[bin].loss);
    found.unwrap()
}

#[test]
fn the_table_shows_nats_with_intervals_and_perplexity_instead_of_shares_and_chance() {
    let dir = tempfile::tempdir().unwrap();
    mixed(dir.path(), 3);
    let mean = (0..3).map(|seed| loss(dir.path(), "rope", 2, seed)).sum::<f64>() / 3.0;
    let wide = block(dir.path(), 160);
    assert!(
        wide.starts_with(&format!("{TEXT} (loss per token in nats and perplexity, lower is better)")),
        "{wide}"
    );
    let rope = line(&wide, "rope");
    assert!(rope.contains(&format!("{mean:.3} [")), "{mean} in {rope}");
    assert!(rope.contains(&format!("ppl {:.2}", mean.exp())), "{rope}");
    for word in ["chance", "exact", "fit", "breaks", "%"] {
        assert!(!wide.contains(word), "`{word}` in\n{wide}");
    }
    let middle = block(dir.path(), 120);
    assert!(middle.contains('[') && !middle.contains("ppl"), "{middle}");
    let narrow = block(dir.path(), 60);
    assert!(narrow.contains(&format!("{mean:.3}")) && !narrow.contains('['), "{narrow}");
}

#[test]
fn a_task_beside_a_text_keeps_its_accuracies() {
    let dir = tempfile::tempdir().unwrap();
    mixed(dir.path(), 2);
    let table = terminal_table(&summary(dir.path()), TableStyle { width: 120, colour: false });
    let majority = table.split(TEXT).next().unwrap();
    assert!(majority.contains("majority (exact match, %)"), "{majority}");
    assert!(
        majority.contains("chance") && majority.contains("100.0") && majority.contains("holds"),
        "{majority}"
    );
}

#[test]
fn the_verdict_ranks_the_losses_at_the_training_lengths_and_at_the_longest() {
    let dir = tempfile::tempdir().unwrap();
    mixed(dir.path(), 1);
    let text = verdict(&summary(dir.path()));
    let at = |position, bin| format!("{:.2} with {position}", loss(dir.path(), position, bin, 0));
    let trained = format!(
        "{TEXT}: Loss {:.2} nats per token at lengths 1–40 with rope (best), {} and {}; ",
        loss(dir.path(), "rope", 0, 0),
        at("alibi", 0),
        at("none", 0)
    );
    assert!(text.contains(&trained), "{trained}\nis not in\n{text}");
    let longest = format!(
        "at lengths 81–160 it is {} (best), {} and {};",
        at("alibi", 2),
        at("none", 2),
        at("rope", 2)
    );
    assert!(text.contains(&longest), "{longest}\nis not in\n{text}");
    assert!(text.contains("no right answer, so no verdict."), "{text}");
    assert!(!text.contains("overlap"), "{text}");
}

#[test]
fn encodings_whose_intervals_overlap_are_said_to_be_unsettled() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[(TEXT, 0.0)], &["none", "rope"], 5, |_, _| Fate::Text(2.0, 0.0));
    let text = verdict(&summary(dir.path()));
    assert!(
        text.contains("The intervals of the best two overlap: more seeds may change their order."),
        "{text}"
    );
    mixed(dir.path(), 5);
    assert!(!verdict(&summary(dir.path())).contains("overlap"));
}

#[test]
fn diverged_seeds_are_left_out_of_the_loss_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let grid = write(dir.path(), &[(TEXT, 0.0)], &["rope"], 3, |_, _| Fate::Text(2.0, 0.0));
    write_run(dir.path(), &grid.runs[2], Fate::Diverges, 0.0);
    let summary = summary(dir.path());
    let cell = &summary.cells[0];
    assert_eq!(cell.finding, Finding::Measured);
    assert_eq!(cell.bins[0].loss.unwrap().n, 2);
    let text = verdict(&summary);
    assert!(text.contains("Left out are seeds that diverged: rope (1 of 3)."), "{text}");
    assert!(line(&block(dir.path(), 120), "rope").ends_with("1 diverged"));
}

#[test]
fn a_text_alone_needs_no_control_and_one_not_begun_has_no_shares() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[(TEXT, 0.0)], &["none", "rope"], 1, |_, position| match position {
        "rope" => Fate::Text(2.0, 0.0),
        _ => Fate::Waits,
    });
    let parts = Verdict::of(&summary(dir.path()));
    assert_eq!(parts.control, Control::NotNeeded);
    assert!(parts.tasks[0].text.contains("No finished run yet with none."), "{}", parts.tasks[0].text);
    let waiting = tempfile::tempdir().unwrap();
    write(waiting.path(), &[(TEXT, 0.0)], &["rope"], 1, |_, _| Fate::Waits);
    assert!(block(waiting.path(), 120).contains("loss per token"));
}

#[test]
fn the_page_draws_losses_on_their_own_scale_and_leaves_their_fields_uncoloured() {
    let dir = tempfile::tempdir().unwrap();
    mixed(dir.path(), 3);
    let results = Results::read(dir.path()).unwrap();
    let page = html(&results, &summary(dir.path())).unwrap();
    assert!(page.contains("<h2>Accuracy and loss against length</h2>"));
    assert!(page.contains("loss per token in nats, lower is better"));
    let mean = (0..3).map(|seed| loss(dir.path(), "rope", 0, seed)).sum::<f64>() / 3.0;
    assert!(page.contains(&format!("perplexity {:.2}", mean.exp())));
    let field = format!(
        "<b class=\"exact\" style=\"background:var(--plain);color:var(--ink);font-size:.84em\">{mean:.2}</b>"
    );
    assert!(page.contains(&field) || page.contains(&field.replace('"', "&quot;")), "{field}");
    // Both settings of the page's switch must show the same losses.
    let data = page.split("\"task\":\"text").nth(1).unwrap();
    assert!(data.contains("\"chance\":[[null"), "a loss has a chance");
    assert!(data.split("\"task\":").next().unwrap().contains("\"nats\":true"));
    assert!(page.contains("\"nats\":false") && page.contains(">chance</text>"));
    assert!(!page.contains("NaN"));
}

#[test]
fn a_page_of_texts_alone_speaks_of_no_accuracy() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[(TEXT, 0.0)], &["none", "rope"], 2, |_, _| Fate::Text(2.0, 0.5));
    let results = Results::read(dir.path()).unwrap();
    let page = html(&results, &summary(dir.path())).unwrap();
    assert!(page.contains("<h2>Loss against length</h2>"));
    for word in ["entirely right", "at chance", "learned the training lengths", "Accuracy shown"] {
        assert!(!page.contains(word), "`{word}`");
    }
}

#[test]
fn the_figure_of_a_text_has_lower_losses_lower_and_no_chance() {
    let dir = tempfile::tempdir().unwrap();
    mixed(dir.path(), 1);
    let results = Results::read(dir.path()).unwrap();
    let figure = figure_svg(&results, &summary(dir.path()), TEXT);
    assert!(figure.contains("loss per token (nats), lower is better"));
    assert!(!figure.contains(">chance</text>") && !figure.contains("NaN"));
    let start = |index: usize| -> f64 {
        let group = figure.split(&format!("<g class=\"enc e{index}\"><polygon")).nth(1).unwrap();
        let points = group.split("<polyline points=\"").nth(1).unwrap();
        points.split([',', ' ']).nth(1).unwrap().parse().unwrap()
    };
    // none 2.5, alibi 2.0, rope 1.5 at the training lengths; y grows downwards.
    assert!(start(0) < start(2) && start(2) < start(1), "{} {} {}", start(0), start(1), start(2));
}

#[test]
fn the_table_of_runs_has_the_loss_of_every_bin() {
    let dir = tempfile::tempdir().unwrap();
    mixed(dir.path(), 1);
    let csv = results_csv(&Results::read(dir.path()).unwrap()).unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let header = reader.headers().unwrap().clone();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    let row = rows.iter().find(|row| &row[1] == TEXT && &row[2] == "rope").unwrap();
    let field = |name: &str| row[header.iter().position(|h| h == name).unwrap()].to_owned();
    assert_eq!(field("outcome"), "measured");
    for bin in 0..3 {
        assert_eq!(field(&format!("bin{bin}_loss")), loss(dir.path(), "rope", bin, 0).to_string());
    }
}
