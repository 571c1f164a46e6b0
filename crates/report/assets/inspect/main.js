// Choosing what is shown, the theme, the keyboard, and the first drawing.
const pickA = $("pick-a"), pickB = $("pick-b");
data.readings.forEach((reading, i) => pickA.append(new Option(reading.name, String(i))));
pickB.append(new Option("compare with …", "-1"));
data.readings.forEach((reading, i) => pickB.append(new Option(reading.name, String(i))));
if (data.readings.length < 2) { pickB.closest("label").hidden = true; pickA.closest("label").hidden = true; }
const pick = (patch) => {
  const a = patch.a ?? state.a;
  let b = patch.b ?? state.b;
  if (b === a) b = -1;
  const was = state.b;
  spreads.clear();
  const { layers, heads } = data.readings[a];
  // One change after another: whoever draws must see a selection that exists.
  set({ a, b, layer: Math.min(state.layer, layers - 1), head: Math.min(state.head, heads - 1), show: b < 0 ? "a" : was < 0 ? "d" : state.show, panel: was < 0 ? "all" : state.panel });
};
pickA.addEventListener("change", () => pick({ a: Number(pickA.value) }));
pickB.addEventListener("change", () => pick({ b: Number(pickB.value) }));
$("swap").addEventListener("click", () => pick({ a: state.b, b: state.a }));
on(["a", "b"], () => {
  pickA.value = String(state.a);
  pickB.value = String(state.b);
  [...pickB.options].forEach((option) => { option.disabled = option.value === String(state.a); });
  $("swap").hidden = state.b < 0;
  const reading = readingA(), model = data.models[reading.model];
  $("facts").replaceChildren(...[
    [count(reading.layers * reading.heads), "heads"],
    reading.n ? [count(reading.n), "tokens"] : null,
    present(reading.loss) ? [fmt(reading.loss), "nats/token"] : null,
  ].filter(Boolean).flatMap(([value, unit]) => { const span = make("span"); span.append(make("b", value), ` ${unit}`); return [span]; }));
  $("facts").title = [model.note, reading.note].filter(Boolean).join("\n");
});
on(["b", "show"], () => {
  const box = $("show");
  box.hidden = state.b < 0;
  if (state.b >= 0) segments(box, [["a", "A"], ["b", "B"], ["d", "A − B"]], state.show, (show) => set({ show }));
});

const statBox = $("stat"), scaleBox = $("scale");
data.statistics.forEach((info, i) => statBox.append(new Option(info.title, String(i))));
statBox.addEventListener("change", () => set({ stat: Number(statBox.value) }));
scaleBox.addEventListener("change", () => set({ scale: scaleBox.value }));
on(["stat"], () => { statBox.value = String(state.stat); });

// ---- theme
const applyTheme = () => {
  inkCache = {};
  $("theme").textContent = isDark() ? "☀" : "☾";
  if (data.readings.length) set({ theme: isDark() ? "dark" : "light" });
};
$("theme").addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; applyTheme(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyTheme);

// ---- help
const KEYS = [["← ↑ ↓ →", "another head; over an open map: the crosshair"], ["Enter", "open the head; on a map: keep the row"], ["Esc", "let go of a row, then back to all heads"], ["/", "filter: L3, H5, 3.5, induction>0.3, entropy<=1"], ["m  l", "map or lines"], ["[  ]", "the head before, the next one"], ["s  S", "next or previous statistic"], ["+ − 0", "zoom in, out, whole map (wheel, pinch, drag, double-click)"], ["d", "dark or light"], ["?", "this help"]];
for (const [keys, text] of KEYS) $("help-keys").append(make("dt", keys), make("dd", text));
$("help-note").textContent = "Up to 512 tokens a map has a cell for every weight, stored in 256 steps of its square root; longer maps are pooled by their largest weight to 512 × 512 cells, and the largest keys of each query are kept exactly beside them. “Uniform attention” is what a head would score that looks at all visible keys alike.";
$("page-note").textContent = data.note;
$("help").addEventListener("click", () => $("help-box").showModal());

// ---- keyboard
document.addEventListener("keydown", (event) => {
  if (!data.readings.length || event.ctrlKey || event.metaKey || event.altKey || $("help-box").open) return;
  const at = event.target, typing = at.matches("input[type=search], select, textarea");
  if (typing) return;
  const range = at.matches("input[type=range]");
  const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  if (event.key in moves) {
    if (range || at.closest("dialog")) return;
    if (at.getAttribute("role") === "radio") {
      const all = [...at.parentNode.children], next = all[clamp(all.indexOf(at) + (event.key === "ArrowLeft" || event.key === "ArrowUp" ? -1 : 1), 0, all.length - 1)];
      const box = at.parentNode, value = next.dataset.value;
      next.click();
      [...box.children].find((b) => b.dataset.value === value)?.focus();
    } else moveHead(...moves[event.key]);
    event.preventDefault();
    return;
  }
  const acts = {
    Enter: () => { if (at.matches("button, a, summary, svg")) return false; openHead(state.layer, state.head); if (state.view === "map") mapPanels.find((p) => !p.figure.hidden)?.over.focus(); else lines.canvas.focus(); },
    " ": () => { if (at !== survey.canvas) return false; openHead(state.layer, state.head); },
    Escape: () => { if (cursor.pinned >= 0 && state.open) pinRow(-1); else if (state.open) goBack(); else hideTip(); },
    "/": () => { filterBox.focus(); filterBox.select(); },
    m: () => set({ view: "map", open: true }),
    l: () => set({ view: "lines", open: true }),
    "[": () => nextHead(-1),
    "]": () => nextHead(1),
    s: () => data.statistics.length && set({ stat: (state.stat + 1) % data.statistics.length }),
    S: () => data.statistics.length && set({ stat: (state.stat + data.statistics.length - 1) % data.statistics.length }),
    "+": () => zoomBy(0.6), "=": () => zoomBy(0.6), "-": () => zoomBy(1 / 0.6), "−": () => zoomBy(1 / 0.6),
    0: () => { fitCamera(camera.n); redrawMaps(); },
    d: () => $("theme").click(),
    "?": () => $("help-box").showModal(),
  };
  if (Object.hasOwn(acts, event.key) && acts[event.key]() !== false) event.preventDefault();
});

// ---- where the reader is, in the address: a link to a head opens it
// Written once the reader rests: browsers limit how often.
let hashTimer = 0;
on(["open", "layer", "head"], () => {
  clearTimeout(hashTimer);
  hashTimer = setTimeout(() => {
    const hash = state.open ? `#L${state.layer}H${state.head}` : "";
    if (location.hash !== hash) history.replaceState(null, "", hash || location.pathname + location.search);
  }, 400);
});
const fromHash = () => {
  const m = /^#L(\d+)H(\d+)$/i.exec(location.hash);
  const reading = readingA();
  if (m && Number(m[1]) < reading.layers && Number(m[2]) < reading.heads) openHead(Number(m[1]), Number(m[2]));
};
addEventListener("hashchange", () => { if (data.readings.length) fromHash(); });

const resized = frame(() => { drawSurvey(); drawLegend(); drawGrid(); drawGallery(); redrawMaps(); drawLines(); });
if (data.readings.length) {
  addEventListener("resize", resized);
  new ResizeObserver(resized).observe($("map-view"));
}

// ---- the first drawing
const start = () => {
  if (!data.readings.length) {
    document.querySelector("main").replaceChildren(make("p", "Nothing was read: this page has no readings.", "empty"));
    return;
  }
  if (!("DecompressionStream" in window)) {
    $("gallery-note").textContent = "This browser cannot unpack the maps (no DecompressionStream): the numbers are all here.";
  }
  for (const key of Object.keys(state)) changedKeys.add(key);
  inkCache = {};
  state.theme = isDark() ? "dark" : "light";
  $("theme").textContent = isDark() ? "☀" : "☾";
  settle();
  drawSurvey();
  performance.mark("survey");
  fromHash();
};
start();

// What tests and other scripts may ask: where things are on the screen, and what is drawn.
globalThis.attnlab = {
  state,
  survey: (layer, head) => { const box = survey.canvas.getBoundingClientRect(); return [box.left + survey.left + (head + 0.5) * survey.cw, box.top + survey.top + (layer + 0.5) * survey.ch]; },
  map: (query, key, panel = 0) => { const p = mapPanels[panel]; p.layout(); const box = p.over.getBoundingClientRect(); return [box.left + p.left + (key + 0.5 - camera.x) * p.scale, box.top + p.top + (query + 0.5 - camera.y) * p.scale]; },
  line: (side, index) => { const box = lines.canvas.getBoundingClientRect(), g = lineGeometry(); return [side === "query" ? box.left + g.x0 - 20 : box.left + g.x1 + 20, box.top + g.y(index)]; },
  drawn: () => drawnMaps.done,
  camera,
};
