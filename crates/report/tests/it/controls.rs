use attnlab_report::controls::{Behaviour, Check, Controls, Kind};
use attnlab_report::record::{Accuracy, ControlKind, Evaluation, Grid};
use attnlab_report::{Results, Summary, TableStyle, html, results_csv, terminal_table, verdict};

use crate::fixture::{Fate, control, edit, planned, sample, write, write_grid};

const PLAIN: TableStyle = TableStyle { width: 140, colour: false };

struct Lab {
    dir: tempfile::TempDir,
    grid: Grid,
}

impl Lab {
    /// Two encodings on `parity`, three seeds.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let grid = write(dir.path(), &[("parity", 0.5)], &["none", "rope"], 3, |_, _| Fate::Breaks(40.0));
        Self { dir, grid }
    }

    fn with(mut self, kind: ControlKind, fate: Fate) -> Self {
        let run = planned("parity", "rope", 0);
        self.grid.runs.push(control(self.dir.path(), kind, run, fate, 0.5));
        self
    }

    /// Every result of a class, protocol language, with the first bin changed.
    fn each(mut self, class: &str, change: impl Fn(&mut Evaluation)) -> Self {
        for run in &mut self.grid.runs {
            run.class = Some(class.into());
            run.protocol = Some("language".into());
            edit(self.dir.path(), run, &change);
        }
        self
    }

    fn results(&self) -> Results {
        write_grid(self.dir.path(), &self.grid);
        Results::read(self.dir.path()).unwrap()
    }

    fn summary(&self) -> Summary {
        Summary::new(&self.results(), None)
    }

    fn check(&self, kind: Kind) -> Check {
        Controls::of(&self.summary()).checks.into_iter().find(|check| check.kind == kind).unwrap()
    }
}

fn both(share: f64) -> Accuracy {
    Accuracy { token: share, exact: share }
}

#[test]
fn control_runs_are_in_no_mean_no_count_and_no_curve() {
    let without = Lab::new();
    let with = Lab::new()
        .with(ControlKind::ShuffledLabels, Fate::Untrained)
        .with(ControlKind::Frozen, Fate::Holds)
        .with(ControlKind::Positive, Fate::Waits);
    let (a, b) = (without.summary(), with.summary());
    assert_eq!(a.counts, b.counts);
    assert_eq!(a.cells[1].bins, b.cells[1].bins);
    assert_eq!(a.cells[1].curve, b.cells[1].curve);
    assert_eq!(b.cells[1].runs.len(), 3);
    assert!(verdict(&b).contains("All 6 runs have finished."));
    let rows = results_csv(&with.results()).unwrap();
    assert!(
        rows.starts_with("id,task,position,control,seed,")
            && rows.contains(",parity,rope,frozen,0,generalises,")
    );
    assert!(results_csv(&without.results()).unwrap().starts_with("id,task,position,seed,"));
}

#[test]
fn shuffled_labels_must_stay_at_chance_within_what_the_strings_explain() {
    let at = |score: f64, distinct: usize| {
        let mut lab = Lab::new().with(ControlKind::ShuffledLabels, Fate::Untrained);
        let run = lab.grid.runs.pop().unwrap();
        edit(lab.dir.path(), &run, |e| {
            e.bins[0].accuracy = both(score);
            e.bins[0].chance = both(0.5);
            e.bins[0].distinct = distinct;
        });
        lab.grid.runs.push(run);
        let check = lab.check(Kind::ShuffledLabels);
        (check.behaviour, check.text)
    };
    // 2,000 strings: three standard errors are 3.4 points.
    let (behaviour, text) = at(0.53, 2000);
    assert_eq!(behaviour, Behaviour::Holds);
    assert!(text.contains("stay at chance: parity with rope (53.0 % against a chance of 50.0 %)."), "{text}");
    let (behaviour, text) = at(0.57, 2000);
    assert_eq!(behaviour, Behaviour::Misbehaves);
    assert!(text.contains("still score above chance: parity with rope (57.0 %"), "{text}");
    // The same share of a hundred strings is within their noise.
    assert_eq!(at(0.57, 100).0, Behaviour::Holds);
    assert_eq!(at(0.30, 2000).0, Behaviour::Holds);
    // Eight lengths and eight strings: shuffling exchanges a label with itself.
    let (behaviour, text) = at(1.0, 8);
    assert_eq!(behaviour, Behaviour::Open);
    assert!(text.contains("one string a length"), "{text}");
}

#[test]
fn frozen_features_must_not_solve_a_task_unless_it_is_order_free() {
    let frozen = |fate, class: &str| {
        let lab = Lab::new().with(ControlKind::Frozen, fate).each(class, |_| {});
        let check = lab.check(Kind::Frozen);
        (check.behaviour, check.text)
    };
    assert_eq!(frozen(Fate::Untrained, "periodic").0, Behaviour::Holds);
    let (behaviour, text) = frozen(Fate::Breaks(30.0), "periodic");
    assert_eq!(behaviour, Behaviour::Misbehaves);
    assert!(text.contains("the task needs no learned attention"), "{text}");
    let (behaviour, text) = frozen(Fate::Holds, "control");
    assert_eq!(behaviour, Behaviour::Holds);
    assert!(text.contains("averaging is enough"), "{text}");
    assert_eq!(frozen(Fate::Trivial, "periodic").0, Behaviour::Open);
    assert_eq!(frozen(Fate::Waits, "periodic").0, Behaviour::Open);
}

#[test]
fn the_positive_control_must_hold_wherever_it_was_tested() {
    let positive = |fate| Lab::new().with(ControlKind::Positive, fate).check(Kind::Positive).behaviour;
    assert_eq!(positive(Fate::Holds), Behaviour::Holds);
    assert_eq!(positive(Fate::Fits), Behaviour::Open);
    assert_eq!(positive(Fate::Waits), Behaviour::Open);
    for fate in [Fate::Untrained, Fate::Breaks(30.0), Fate::Diverges] {
        assert_eq!(positive(fate), Behaviour::Misbehaves);
    }
}

#[test]
fn shuffled_input_must_hurt_what_needs_order_and_nothing_else() {
    let permuted = |class: &str, score: f64| {
        let lab = Lab::new().each(class, |e| e.bins[0].permuted = Some(both(score)));
        Controls::of(&lab.summary()).checks.into_iter().find(|check| check.kind == Kind::PermutedInput)
    };
    assert_eq!(permuted("order", 0.1).unwrap().behaviour, Behaviour::Holds);
    assert_eq!(permuted("order", 1.0).unwrap().behaviour, Behaviour::Misbehaves);
    assert_eq!(permuted("control", 1.0).unwrap().behaviour, Behaviour::Holds);
    let check = permuted("control", 0.8).unwrap();
    assert_eq!(check.behaviour, Behaviour::Misbehaves);
    assert!(check.text.contains("parity with none (100.0 % → 80.0 %)"), "{}", check.text);
    // Of other tasks nobody has said what shuffling must do; nor of the prefixes of an order-free one.
    assert_eq!(permuted("periodic", 0.1), None);
    let mut lab = Lab::new().each("control", |e| e.bins[0].permuted = Some(both(0.5)));
    lab.grid.runs.iter_mut().for_each(|run| run.protocol = Some("prefix".into()));
    assert!(Controls::of(&lab.summary()).absent.contains(&Kind::PermutedInput));
}

#[test]
fn strings_that_were_not_trained_on_must_score_no_lower() {
    let unseen = |seen: f64, unseen: Option<f64>| {
        let lab = Lab::new().each("periodic", |e| {
            e.bins[0].seen = Some(seen);
            e.bins[0].unseen = unseen.map(both);
        });
        lab.check(Kind::UnseenStrings)
    };
    assert_eq!(unseen(0.3, Some(0.99)).behaviour, Behaviour::Holds);
    let check = unseen(0.8, Some(0.4));
    assert_eq!(check.behaviour, Behaviour::Misbehaves);
    assert!(check.text.starts_with(
        "Strings are memorised: parity with none (80 % trained on; 100.0 % right, of the others 40.0 %)"
    ));
    let check = unseen(1.0, None);
    assert_eq!(check.behaviour, Behaviour::Open);
    assert!(check.text.contains("every test string was trained on"), "{}", check.text);
}

#[test]
fn a_control_that_misbehaves_is_the_first_line_everywhere() {
    let lab = Lab::new().with(ControlKind::Positive, Fate::Untrained).with(ControlKind::Frozen, Fate::Holds);
    let (results, summary) = (lab.results(), lab.summary());
    let first = "2 controls misbehave (positive control and frozen features): until that is explained, what follows \
                 shows little.";
    assert!(terminal_table(&summary, PLAIN).starts_with(&format!("{first}\n")));
    assert!(verdict(&summary).starts_with(first));
    let page = html(&results, &summary).unwrap();
    let body = page.split_once("<main>").unwrap().1;
    assert!(body.trim_start().starts_with(&format!("<p class=\"alarm\" role=\"alert\">{first}</p>")));
    let object = attnlab_report::comparison_json(&results, &summary).unwrap();
    assert!(object.contains(&format!("\"headline\": \"{first}\"")));
}

#[test]
fn controls_that_behave_or_are_absent_are_listed_at_the_top_without_alarm() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path());
    let results = Results::read(dir.path()).unwrap();
    let summary = Summary::new(&results, None);
    let controls = Controls::of(&summary);
    assert_eq!(controls.headline(), None);
    assert!(controls.absent.is_empty() && controls.checks.len() == 6, "{controls:?}");
    let page = html(&results, &summary).unwrap();
    assert!(!page.contains("role=\"alert\"") && page.contains("id=\"controls\""));
    let lab = Lab::new();
    let table = terminal_table(&lab.summary(), PLAIN);
    assert!(table.starts_with("Controls\n  ○ No order-free control: add a `majority` task"), "{table}");
    assert!(table.contains(
        "Not controlled for: positive control, shuffled labels, frozen features, permuted input and"
    ));
}
