//! The table and the page of a measurement whose answers are known.

use attnlab_report::TableStyle;
use attnlab_report::cost::{
    Cache, CostReport, Crossover, Estimated, Exponents, Fit, Form, Level, Panel, Pass, Point, Series,
    Setting, Skipped, Spread, cost_html, cost_table,
};

const LENGTHS: [usize; 4] = [64, 128, 256, 512];

/// Times n^p/1000 ms, n^q bytes.
fn series(form: &str, p: f64, q: f64) -> Series {
    let exact = |value: f64| Estimated { value, low: value - 0.0625, high: value + 0.0625 };
    let point = |&length: &usize| {
        let n = length as f64;
        let ms = n.powf(p) / 1000.0;
        Point {
            length,
            batch: 1,
            calls: 1,
            ms: Spread { median: ms, min: 0.875 * ms },
            cpu_ms: Some(Spread { median: ms, min: ms }),
            peak_bytes: Some(n.powf(q) as u64),
            cache: (length < 256).then(|| "L1".to_owned()),
            pairs: 10,
            attention_flops: 640,
            flops: n.powf(p) as u64,
            samples: vec![ms; 3],
        }
    };
    let exponents = LENGTHS.windows(2).map(|pair| Exponents {
        from: pair[0],
        to: pair[1],
        time: exact(p),
        cpu: Some(exact(p)),
        memory: Some(q),
        operations: p,
    });
    Series {
        panel: Panel { level: Level::Attention, pass: Pass::Forward, batch_tokens: None, threads: 1 },
        form: form.to_owned(),
        points: LENGTHS.iter().map(point).collect(),
        skipped: None,
        exponents: exponents.collect(),
        fit: Some(Fit {
            a: exact(1e-3),
            b: exact(0.0),
            c: exact(0.0),
            residual: 0.0,
            quadratic_from: Some(0.0),
        }),
        crossover: None,
    }
}

fn report() -> CostReport {
    let form = |name: &str| Form { name: name.into(), about: "a <form>".into(), operations: "4NK".into() };
    let full = series("full", 2.0, 2.0);
    let mut window = series("window", 1.0, 1.0);
    window.points.pop();
    window.skipped = Some(Skipped { length: 512, why: "about 9.0 s, of 1.0 s left".into() });
    window.crossover = Some(Crossover::At { length: 91.0, low: Some(80.0), high: None });
    CostReport {
        setting: Setting {
            model: "exp.toml".into(),
            d_model: 64,
            n_heads: 4,
            n_kv_heads: 4,
            head_dim: 16,
            n_layers: 2,
            vocab: 256,
            window: 128,
            sinks: 4,
            block: 32,
            keep: 3,
            top_k: 32,
            repeats: 3,
            seed: 0,
            minutes: 1.0,
            most_mib: 100,
            caches: vec![Cache { name: "L1".into(), bytes: 32 << 10 }],
        },
        forms: vec![form("full"), form("window")],
        series: vec![full, window],
    }
}

#[test]
fn the_table_has_times_exponents_crossovers_and_what_was_left_out() {
    let table = cost_table(&report(), TableStyle { width: 120, colour: false });
    for text in [
        "attention alone, forward, one sequence, 1 thread",
        "4.10", // 64²/1000 ms
        "1.94–2.06",
        "from 91 [80, none]",
        "window: not measured from N = 512 on: about 9.0 s, of 1.0 s left.",
        "full leaves L1 at 256",
        "L1 32 KiB",
    ] {
        assert!(table.contains(text), "no `{text}` in\n{table}");
    }
    assert!(table.lines().all(|line| line.chars().count() <= 120), "{table}");
    assert!(!table.contains('\u{1b}'));
}

#[test]
fn the_page_stands_alone_and_escapes_what_it_is_given() {
    let page = cost_html(&report()).unwrap();
    assert!(page.contains("a &#60;form&#62;") || page.contains("a &lt;form&gt;"), "not escaped");
    assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("<script"));
    assert_eq!(page.matches("<svg class=\"chart\"").count(), 3, "time, memory, operations");
    assert!(page.contains("from 91 [80, none]"));
    assert_eq!(page, cost_html(&report()).unwrap());
}

#[test]
fn a_power_is_drawn_parallel_to_its_slope() {
    let page = cost_html(&report()).unwrap();
    // The first figure: the dashed N², then the line of `full`, which grows as N².
    let lines: Vec<Vec<(f64, f64)>> = page
        .split("<polyline points=\"")
        .skip(1)
        .map(|rest| {
            let numbers = rest.split('"').next().unwrap();
            let point =
                |pair: &str| pair.split_once(',').map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()));
            numbers.split(' ').filter_map(point).collect()
        })
        .collect();
    let slope = |line: &[(f64, f64)]| {
        let (first, last) = (line[0], line[line.len() - 1]);
        (last.1 - first.1) / (last.0 - first.0)
    };
    let (linear, quadratic, full) = (slope(&lines[0]), slope(&lines[1]), slope(&lines[2]));
    assert!((quadratic - 2.0 * linear).abs() < 0.02 * quadratic.abs(), "{linear} {quadratic}");
    assert!((full - quadratic).abs() < 0.02 * full.abs(), "{full} {quadratic}");
}

#[test]
fn a_measurement_comes_back_from_its_json_as_it_was() {
    let text = serde_json::to_string(&report()).unwrap();
    assert_eq!(serde_json::from_str::<CostReport>(&text).unwrap(), report());
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["series"][0]["level"], "attention");
    assert_eq!(value["series"][1]["crossover"]["is"], "at");
}
