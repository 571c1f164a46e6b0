//! The inspection page in a real headless Chromium. Without one the tests say so and pass.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::PathBuf;
use std::time::Instant;

use attnlab_report::inspect::{Map, MapPacker, Page, Quantity};
use serde_json::json;

use crate::chromium::Browser;
use crate::synthetic::{self, Size};

const SMALL: Size = Size { layers: 4, heads: 6, tokens: 40, map_every: 1, extras: true };

struct Opened {
    browser: Browser,
    file: PathBuf,
    _dir: tempfile::TempDir,
}

fn open(page: &Page) -> Option<Opened> {
    let mut browser = Browser::start()?;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("page.html");
    page.write(BufWriter::new(File::create(&file).unwrap())).unwrap();
    browser.open(&file);
    Some(Opened { browser, file, _dir: dir })
}

impl Opened {
    /// No complaint in the console, nothing asked of the network.
    fn is_clean(&self) {
        assert_eq!(self.browser.complaints(), Vec::<String>::new());
        assert_eq!(self.browser.requests(&self.file), Vec::<String>::new());
    }
}

/// The number behind `label` in the tooltip.
fn told(browser: &mut Browser, label: &str) -> f64 {
    let text = browser.text(&format!(
        "[...document.querySelectorAll('#tip .tip-values tr')].find((r) => r.cells[0].textContent === {label:?})?.cells[1].textContent ?? ''"
    ));
    text.replace('−', "-")
        .trim_start_matches(['≈', ' ', '+'])
        .parse()
        .unwrap_or_else(|_| panic!("{label}: {text:?}"))
}

#[test]
fn a_click_on_a_head_opens_its_map_and_the_tooltip_tells_the_weight() {
    let Some(mut opened) = open(&synthetic::page(SMALL, true)) else { return };
    let b = &mut opened.browser;
    b.hover("attnlab.survey(1, 2)");
    assert!(b.text("document.getElementById('tip').textContent").contains("L1 H2"));
    b.picture("survey");
    b.click("attnlab.survey(1, 2)");
    b.until("attnlab.drawn() === '1.2'");
    assert_eq!(b.text("document.getElementById('head-title').textContent"), "Layer 1 · Head 2");
    let mut row = Vec::new();
    for (query, key) in [(20, 8), (20, 20), (39, 0), (3, 3), (0, 0)] {
        b.hover(&format!("attnlab.map({query}, {key})"));
        let weight = f64::from({
            synthetic::row(8, 0, query, 40, &mut row);
            row[key]
        });
        // Half of one of 255 steps of the root, and the rounding of what is written.
        let close = 0.01 * weight.sqrt() * 0.5 + 1e-4;
        let found = told(b, "weight");
        assert!((found - weight).abs() < close, "{query} → {key}: told {found}, is {weight}");
        let text = b.text("document.querySelector('#tip .tip-tokens').innerText");
        assert!(text.contains(&query.to_string()) && text.contains(&key.to_string()), "{text}");
    }
    // The row beside the map: its largest weight first, exact.
    b.hover("attnlab.map(30, 4)");
    synthetic::row(8, 0, 30, 40, &mut row);
    let largest = f64::from(row.iter().copied().fold(0f32, f32::max));
    let first = b.text("document.querySelector('#row-list li').lastChild.textContent");
    assert!((first.parse::<f64>().unwrap() - largest).abs() < 6e-4, "{first}, is {largest}");
    b.picture("map");
    // Masked keys have no weight.
    b.hover("attnlab.map(5, 30)");
    assert!(b.text("document.getElementById('tip').innerText").contains("not visible"));
    // The other quantities of the same head.
    b.choose("quantity", "s:linear");
    b.until("mapPanels[0].source.map.letter === 's'");
    b.hover("attnlab.map(20, 8)");
    synthetic::row(8, 0, 20, 40, &mut row);
    let score = f64::from((row[8] + 1e-6).ln() + 3.0);
    assert!((told(b, "score") - score).abs() < 0.05);
    opened.is_clean();
}

#[test]
fn zooming_and_dragging_move_the_map_and_a_double_click_shows_all_of_it() {
    let Some(mut opened) = open(&synthetic::page(SMALL, false)) else { return };
    let b = &mut opened.browser;
    b.click("attnlab.survey(0, 0)");
    b.until("attnlab.drawn() === '0.0'");
    b.wheel("attnlab.map(30, 10)", -600.0);
    b.wheel("attnlab.map(30, 10)", -600.0);
    let span = b.eval("attnlab.camera.span").as_f64().unwrap();
    assert!(span < 30.0, "{span}");
    b.hover("attnlab.map(30, 10)");
    assert!(b.text("document.querySelector('#tip .tip-tokens').innerText").contains("30"));
    let before = b.eval("attnlab.camera.x").as_f64().unwrap();
    b.drag("attnlab.map(30, 10)", 60.0, 0.0);
    let after = b.eval("attnlab.camera.x").as_f64().unwrap();
    assert!(after < before, "dragged right, yet the map went from {before} to {after}");
    b.double_click("attnlab.map(30, 10)");
    assert_eq!(b.eval("attnlab.camera.span"), json!(40));
    opened.is_clean();
}

#[test]
fn the_keyboard_reaches_everything() {
    let Some(mut opened) = open(&synthetic::page(SMALL, false)) else { return };
    let b = &mut opened.browser;
    b.keys(&["ArrowDown", "ArrowRight", "ArrowRight"]);
    assert_eq!(b.eval("[attnlab.state.layer, attnlab.state.head, attnlab.state.open]"), json!([1, 2, false]));
    b.keys(&["Enter"]);
    b.until("attnlab.drawn() === '1.2'");
    // The map has the focus: arrows move its crosshair, Enter keeps a row.
    b.keys(&["ArrowDown", "ArrowRight", "Enter"]);
    assert!(b.eval("cursor.pinned >= 0 && !tip.hidden").as_bool().unwrap());
    assert!(b.text("document.getElementById('map-readout').textContent").contains("query"));
    b.keys(&["+"]);
    assert!(b.eval("attnlab.camera.span < 40").as_bool().unwrap());
    b.keys(&["0", "Escape"]);
    assert_eq!(
        b.eval("[cursor.pinned, attnlab.state.open]"),
        json!([-1, true]),
        "the first Esc lets go of the row"
    );
    b.keys(&["l"]);
    b.until("lines.maps.size === 1");
    assert_eq!(b.text("attnlab.state.view"), "lines");
    b.keys(&["m", "]"]);
    b.until("attnlab.drawn() === '1.3'");
    b.keys(&["Escape"]);
    assert!(!b.eval("attnlab.state.open").as_bool().unwrap(), "the second Esc goes back");
    assert_eq!(b.text("document.activeElement.id"), "survey-canvas");
    b.keys(&["s"]);
    assert_eq!(b.eval("attnlab.state.stat"), json!(1));
    b.keys(&["/"]);
    assert_eq!(b.text("document.activeElement.id"), "filter");
    b.write("L2 first>0");
    assert_eq!(b.text("document.getElementById('filter-note').textContent"), "6 of 24");
    b.keys(&["Enter"]);
    assert_eq!(b.text("document.activeElement.id"), "grid");
    assert_eq!(b.eval("attnlab.state.layer"), json!(2));
    b.keys(&["ArrowDown", "ArrowDown"]);
    assert_eq!(b.eval("[attnlab.state.layer, attnlab.state.head]"), json!([2, 2]));
    b.keys(&["Enter"]);
    b.until("attnlab.drawn() === '2.2'");
    // Every control has a name, and Tab finds it.
    let nameless = b.eval(
        "[...document.querySelectorAll('button, select, input, canvas[tabindex]')].filter((n) => !n.closest('[hidden]') && \
         !(n.textContent.trim() || n.getAttribute('aria-label') || n.labels?.length)).map((n) => n.outerHTML)",
    );
    assert_eq!(nameless, json!([]));
    opened.is_clean();
}

#[test]
fn the_table_sorts_and_makes_only_the_rows_in_view() {
    let size = Size { layers: 40, heads: 25, tokens: 12, map_every: 1000, extras: false };
    let Some(mut opened) = open(&synthetic::page(size, false)) else { return };
    let b = &mut opened.browser;
    assert_eq!(b.eval("document.getElementById('grid').getAttribute('aria-rowcount')"), json!("1001"));
    assert!(b.eval("document.querySelectorAll('.grid-body .grid-row').length < 60").as_bool().unwrap());
    b.eval("document.querySelectorAll('.grid-head button')[2].click()");
    b.settle();
    let column = "[...document.querySelectorAll('.grid-body .grid-row')].filter((r) => !r.hidden)\
                  .sort((x, y) => x.ariaRowIndex - y.ariaRowIndex).map((r) => Number(r.children[2].textContent))";
    let values: Vec<f64> = serde_json::from_value(b.eval(column)).unwrap();
    assert!(values.len() > 5 && values.is_sorted_by(|a, b| a >= b), "{values:?}");
    b.keys(&["/"]);
    b.write("nonsense");
    assert!(b.eval("document.getElementById('filter').classList.contains('wrong')").as_bool().unwrap());
    opened.is_clean();
}

#[test]
fn dark_and_light_differ_in_everything_that_is_drawn() {
    let Some(mut opened) = open(&synthetic::page(SMALL, false)) else { return };
    let b = &mut opened.browser;
    let mut seen = Vec::new();
    for scheme in ["light", "dark"] {
        b.scheme(scheme);
        b.click("attnlab.survey(1, 1)");
        b.until("attnlab.drawn() === '1.1'");
        b.settle();
        let paper = b.text("getComputedStyle(document.body).backgroundColor");
        let (survey, map) = (b.canvas("#survey-canvas"), b.canvas(".panel canvas + canvas, .stack canvas"));
        let theme = b.text("attnlab.state.theme");
        assert_eq!(theme, scheme);
        b.keys(&["Escape"]);
        b.settle();
        seen.push((paper, survey.0, map.0, b.canvas("#gallery").0));
    }
    let (light, dark) = (&seen[0], &seen[1]);
    assert!(light.0 != dark.0 && light.1 != dark.1 && light.2 != dark.2 && light.3 != dark.3, "{seen:?}");
    // The button overrules the system.
    b.click("(() => { const r = document.getElementById('theme').getBoundingClientRect(); return [r.x + 9, r.y + 9]; })()");
    assert_eq!(b.text("attnlab.state.theme"), "light");
    assert_eq!(b.canvas("#survey-canvas").0, light.1);
    opened.is_clean();
}

#[test]
fn the_line_view_draws_heads_in_colours_that_can_be_turned_on_and_off() {
    let Some(mut opened) = open(&synthetic::page(SMALL, false)) else { return };
    let b = &mut opened.browser;
    b.click("attnlab.survey(2, 1)");
    b.keys(&["l"]);
    b.until("lines.maps.size === 1");
    b.settle();
    let one = b.canvas("#lines");
    let swatch = |head: usize| {
        format!(
            "(() => {{ const r = document.querySelectorAll('.swatch')[{head}].getBoundingClientRect(); return [r.x + 8, r.y + 8]; }})()"
        )
    };
    b.click(&swatch(3));
    b.until("lines.maps.size === 2");
    b.settle();
    let two = b.canvas("#lines");
    assert!(two.1 > one.1, "a second head draws more: {} then {}", one.1, two.1);
    b.picture("lines");
    b.double_click(&swatch(4));
    b.until("lines.maps.size === 1 && lines.maps.has(4)");
    b.double_click(&swatch(4));
    b.until("lines.maps.size === 6");
    // Pointing at a query leaves its lines alone.
    let all = b.canvas("#lines");
    b.hover("attnlab.line('query', 25)");
    let alone = b.canvas("#lines");
    assert_ne!(all.0, alone.0);
    assert!(b.text("document.getElementById('tip').textContent").contains("query 25"));
    b.hover("attnlab.line('key', 0)");
    assert!(b.text("document.getElementById('tip').textContent").contains("is seen from"));
    opened.is_clean();
}

#[test]
fn a_long_text_has_a_window_of_lines_and_exact_top_keys() {
    let tokens = 1500;
    let size = Size { layers: 1, heads: 2, tokens, map_every: 1, extras: false };
    let Some(mut opened) = open(&synthetic::page(size, false)) else { return };
    let b = &mut opened.browser;
    b.click("attnlab.survey(0, 1)");
    b.until("attnlab.drawn() === '0.1'");
    b.hover("attnlab.map(1000, 500)");
    let mut row = Vec::new();
    synthetic::row(1, 0, 1000, tokens, &mut row);
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|x, y| row[*y].total_cmp(&row[*x]));
    let keys: Vec<usize> = serde_json::from_value(b.eval(
        "[...document.querySelectorAll('#tip .tip-top tr')].map((r) => Number(r.cells[0].textContent))",
    ))
    .unwrap();
    assert_eq!(keys, order[..8]);
    let cell = told(b, "largest weight");
    assert!(cell + 0.005 >= f64::from(row[500]));
    // Zoomed in, the listed keys are drawn for themselves.
    let far = b.canvas(".stack canvas").0;
    for _ in 0..8 {
        b.wheel(&format!("attnlab.map(1000, {})", order[0]), -400.0);
    }
    assert_ne!(b.canvas(".stack canvas").0, far);
    b.hover(&format!("attnlab.map(1000, {})", order[0]));
    let exact = told(b, "weight");
    assert!((exact - f64::from(row[order[0]])).abs() < 6e-4);
    b.picture("long");
    b.keys(&["l"]);
    b.until("lines.maps.size === 1");
    b.settle();
    assert_eq!(b.text("document.getElementById('window-note').textContent"), "0–63 of 1,500");
    b.eval("{ const w = document.getElementById('window'); w.value = 900; w.dispatchEvent(new Event('input')); 1 }");
    b.settle();
    assert_eq!(b.text("document.getElementById('window-note').textContent"), "900–963 of 1,500");
    opened.is_clean();
}

#[test]
fn a_comparison_shows_both_maps_and_what_differs() {
    let Some(mut opened) = open(&synthetic::page(SMALL, true)) else { return };
    let b = &mut opened.browser;
    let plain = b.canvas("#survey-canvas").0;
    b.choose("pick-b", "1");
    assert_eq!(b.text("attnlab.state.show"), "d");
    assert_ne!(b.canvas("#survey-canvas").0, plain);
    b.hover("attnlab.survey(0, 1)");
    assert!(b.text("document.getElementById('tip').textContent").contains("A − B"));
    b.click("attnlab.survey(0, 1)");
    b.until("attnlab.drawn() === '0.1'");
    b.settle();
    assert_eq!(b.eval("mapPanels.filter((p) => !p.figure.hidden && p.source).length"), json!(3));
    for panel in 0..3 {
        b.hover(&format!("attnlab.map(20, 19, {panel})"));
        let (a, other, difference) = (told(b, "A weight"), told(b, "B weight"), told(b, "A − B"));
        assert!((a - other - difference).abs() < 2e-3, "{a} − {other} is told as {difference}");
    }
    assert!(b.eval("document.querySelectorAll('.differences li').length > 0").as_bool().unwrap());
    b.picture("compare");
    // Another number of tokens: both can be seen, but not subtracted.
    b.choose("pick-b", "2");
    b.until("mapPanels[2].source === null");
    assert!(b.text("mapPanels[2].message.textContent").contains("cannot be subtracted"));
    b.keys(&["l"]);
    b.settle();
    opened.is_clean();
}

#[test]
fn nothing_a_text_or_a_name_holds_becomes_markup() {
    let attacks = [
        "</script><script>window.xss=1</script>",
        "<!--<script>",
        "<img src=x onerror=window.xss=1>",
        "\u{2028}\u{2029}",
        "\u{202e}desrever",
        "👩\u{200d}🔬",
        "שלום עולם",
        "\"'`${window.xss=1}",
        "]]>",
        "\\u003c/script>",
    ];
    let mut page = synthetic::page(Size { tokens: 12, ..SMALL }, true);
    page.title = attacks[0].into();
    page.note = attacks[2].into();
    for (i, statistic) in page.statistics.iter_mut().enumerate() {
        statistic.title = attacks[i % attacks.len()].into();
        statistic.formula = attacks[i % attacks.len()].into();
        statistic.name = format!("{}{i}", attacks[2]);
    }
    page.models[0].name = attacks[0].into();
    for reading in &mut page.readings {
        reading.text = attacks[1].into();
        for (i, token) in reading.tokens.iter_mut().enumerate() {
            *token = attacks.get(i).map_or_else(|| "x".repeat(10_000), |a| (*a).to_owned());
        }
        for curve in &mut reading.curves {
            curve.title = attacks[2].into();
            curve.x_title = attacks[0].into();
        }
    }
    let html = page.render().unwrap();
    assert!(!html.contains(attacks[0]) && !html.contains(attacks[2]) && !html.contains(&"x".repeat(50)));
    let Some(mut opened) = open(&page) else { return };
    let b = &mut opened.browser;
    b.click("attnlab.survey(1, 2)");
    b.until("attnlab.drawn() === '1.2'");
    for query in 0..12 {
        b.hover(&format!("attnlab.map({query}, 0)"));
    }
    b.keys(&["l"]);
    b.until("lines.maps.size === 1");
    b.hover("attnlab.line('query', 7)");
    assert_eq!(b.eval("window.xss === undefined && document.images.length === 0"), json!(true));
    let overflow = b.eval("document.documentElement.scrollWidth - innerWidth");
    assert!(overflow.as_f64().unwrap() <= 0.0, "{overflow} px too wide");
    opened.is_clean();
}

#[test]
fn nothing_overflows_at_1280_or_800_pixels() {
    let size = Size { layers: 12, heads: 12, tokens: 64, map_every: 1, extras: false };
    let Some(mut opened) = open(&synthetic::page(size, true)) else { return };
    let b = &mut opened.browser;
    for (width, height) in [(1280, 800), (800, 900)] {
        b.size(width, height);
        for set in [
            "pick({ b: -1 }); set({ open: false })",
            "openHead(3, 3)",
            "set({ view: 'lines' })",
            "set({ view: 'map' }); pick({ b: 1 })",
        ] {
            b.eval(&format!("{{ {set}; 1 }}"));
            b.settle();
            b.settle();
            let wide = b.eval("document.documentElement.scrollWidth").as_u64().unwrap();
            assert!(wide <= u64::from(width), "{set} at {width}: {wide} px");
            b.picture(&format!("at-{width}-{}", set.len()));
        }
        if width >= 1100 {
            assert!(b.eval("document.documentElement.scrollHeight <= innerHeight").as_bool().unwrap());
        }
    }
    opened.is_clean();
}

/// Prints what a thousand heads at 512 tokens cost; the times depend on the machine, so only their presence is asserted.
#[test]
fn a_thousand_heads_at_512_tokens_open_and_move() {
    let size = Size { layers: 40, heads: 25, tokens: 512, map_every: 100, extras: false };
    let mut page = synthetic::page(Size { layers: 1, heads: 25, tokens: 64, ..size }, false);
    // Ten different maps, a hundred times each: what they show does not matter here.
    let mut row = Vec::new();
    let maps: Vec<_> = (0..10)
        .map(|head| {
            let mut packer = MapPacker::new(512, true, Quantity::Weight).unwrap();
            for query in 0..512 {
                synthetic::row(head, 0, query, 512, &mut row);
                packer.row(query, 0, &row).unwrap();
            }
            packer.finish().unwrap()
        })
        .collect();
    page.models[0].n_layers = size.layers;
    let reading = &mut page.readings[0];
    reading.tokens = synthetic::tokens(512, 0);
    reading.values =
        (0..1000 * page.statistics.len()).map(|i| Some(f64::from(synthetic::draw(i, 1, 2)))).collect();
    let map = |id: usize| Map { layer: id / 25, head: id % 25, map: maps[id % 10].clone() };
    reading.maps = (0..1000).map(map).collect();
    let started = Instant::now();
    let Some(mut opened) = open(&page) else { return };
    let b = &mut opened.browser;
    let bytes = fs::metadata(&opened.file).unwrap().len();
    let survey = b.eval("performance.getEntriesByName('survey')[0].startTime").as_f64().unwrap();
    b.until("performance.getEntriesByName('first-contentful-paint').length > 0");
    let paint =
        b.eval("performance.getEntriesByName('first-contentful-paint')[0].startTime").as_f64().unwrap();
    // The last head is there once the whole file is.
    b.click("attnlab.survey(39, 24)");
    b.until("attnlab.drawn() === '39.24'");
    let whole = started.elapsed();
    b.eval("{ window.times = []; let last = performance.now(); const tick = (now) => { times.push(now - last); last = now; requestAnimationFrame(tick); }; requestAnimationFrame(tick); 1 }");
    for step in 0..40 {
        b.hover(&format!("attnlab.map({}, {})", 300 + step, 100 + step));
    }
    let median = "(() => { const t = [...times].sort((a, b) => a - b); times.length = 0; return t[t.length >> 1]; })()";
    let hover = b.eval(median).as_f64().unwrap();
    for _ in 0..20 {
        b.keys(&["[", "["]);
    }
    let walk = b.eval(median).as_f64().unwrap();
    b.until("attnlab.drawn() === '38.9'");
    eprintln!(
        "1,000 heads × 512 tokens: {:.1} MB, survey drawn after {survey:.0} ms, painted after {paint:.0} ms, written, opened and \
         the last head shown after {:.1} s; median frame {hover:.0} ms over a map, {walk:.0} ms from head to head",
        bytes as f64 / 1e6,
        whole.as_secs_f64()
    );
    b.picture("thousand");
    opened.is_clean();
}

#[test]
fn pages_with_little_in_them_open_as_well() {
    // No reading at all.
    let empty = Page { title: "nothing".into(), ..Page::default() };
    let Some(mut opened) = open(&empty) else { return };
    assert!(opened.browser.text("document.body.innerText").contains("no readings"));
    opened.is_clean();

    // Numbers without maps, and a mean over texts, which has no tokens.
    let mut numbers = synthetic::page(Size { map_every: usize::MAX, ..SMALL }, false);
    numbers.readings[0].maps.clear();
    numbers.readings[0].tokens.clear();
    numbers.readings[0].intervals = numbers.readings[0].values.iter().map(|_| Some(0.01)).collect();
    // One token, square, only scores; another model of another shape without any statistic known.
    let size = Size { layers: 1, heads: 2, tokens: 1, map_every: 1, extras: false };
    let mut odd = synthetic::page(size, false);
    let mut packer = MapPacker::new(1, false, Quantity::Score).unwrap();
    packer.row(0, 0, &[2.5]).unwrap();
    odd.readings[0].maps = vec![Map { layer: 0, head: 1, map: packer.finish().unwrap() }];
    let mut other = synthetic::page(SMALL, false);
    other.readings[0].model = 1;
    for value in other.readings[0].values.iter_mut() {
        *value = None;
    }
    odd.models.append(&mut other.models);
    odd.readings.append(&mut other.readings);
    // No statistics at all.
    let mut bare = synthetic::page(SMALL, false);
    bare.statistics.clear();
    bare.readings[0].values.clear();
    bare.readings[0].baselines.clear();

    for (name, page) in [("numbers", numbers), ("odd", odd), ("bare", bare)] {
        let Some(mut opened) = open(&page) else { return };
        let b = &mut opened.browser;
        b.picture(&format!("little-{name}"));
        b.hover("attnlab.survey(0, 1)");
        b.keys(&["ArrowRight", "Enter", "ArrowDown", "l", "m", "s", "S", "Escape", "/"]);
        b.write("L0");
        b.keys(&["Enter", "Enter"]);
        b.eval("{ if (data.readings.length > 1) { pick({ b: 1 }); pick({ a: 1, b: 0 }); pick({ a: 0, b: -1 }); } 1 }");
        b.settle();
        if name == "odd" {
            b.eval("{ openHead(0, 1); 1 }");
            b.until("attnlab.drawn() === '0.1' && mapPanels[0].source !== null");
            b.hover("attnlab.map(0, 0)");
            assert_eq!(told(b, "score"), 2.5);
        }
        b.settle();
        opened.is_clean();
    }
}

#[test]
fn a_map_without_a_mask_shows_both_triangles() {
    let mut page =
        synthetic::page(Size { layers: 1, heads: 1, tokens: 30, map_every: 1, extras: false }, false);
    let mut packer = MapPacker::new(30, false, Quantity::Weight).unwrap();
    for query in 0..30 {
        let mut row = [0.0; 30];
        row[29 - query] = 0.9;
        packer.row(query, 0, &row).unwrap();
    }
    page.readings[0].maps = vec![Map { layer: 0, head: 0, map: packer.finish().unwrap() }];
    let Some(mut opened) = open(&page) else { return };
    let b = &mut opened.browser;
    b.click("attnlab.survey(0, 0)");
    b.until("attnlab.drawn() === '0.0'");
    b.hover("attnlab.map(2, 27)");
    assert!((told(b, "weight") - 0.9).abs() < 1e-3);
    b.keys(&["l"]);
    b.until("lines.maps.size === 1");
    b.hover("attnlab.line('key', 20)");
    assert!(b.text("document.getElementById('tip').textContent").contains("0.9"));
    opened.is_clean();
}
