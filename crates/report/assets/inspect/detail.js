// The open head: its maps, lines, statistics and curves.
const fillStats = () => {
  if (!state.open) return;
  const a = readingA(), b = readingB(), { layer, head } = state;
  renew($("head-stats"), data.statistics.map((info, stat) => {
    const value = valueOf(a, layer, head, stat), base = a.baselines[stat];
    const row = make("button", undefined, "stat-row");
    row.type = "button";
    row.classList.toggle("on", stat === state.stat);
    row.setAttribute("aria-pressed", String(stat === state.stat));
    const other = b ? valueOf(b, layer, head, stat) : NaN;
    const half = a.intervals?.[(layer * a.heads + head) * data.statistics.length + stat];
    row.title = [info.formula, info.higher && `high: ${info.higher}`, present(base) && `uniform attention: ${fmt(base)}`, present(half) && `95 % interval: ± ${fmt(half)}`, "click: colour the survey by it"].filter(Boolean).join("\n");
    row.append(make("span", info.title, "stat-name"), make("span", fmt(value), "num"));
    if (b) row.append(make("span", present(other) ? `B ${fmt(other)}   Δ ${signed(value - other)}` : "B –", "num stat-b"));
    // Where it lies among all heads of A.
    const strip = make("span", undefined, "strip"), { low, high } = statRange(stat);
    const at = (v) => high > low ? clamp((v - low) / (high - low), 0, 1) * 100 : 50;
    const mark = (v, kind) => { if (present(v)) { const i = make("i", undefined, kind); i.style.left = `${at(v)}%`; strip.append(i); } };
    mark(base, "base");
    if (b) mark(other, "at other");
    mark(value, "at");
    row.append(strip);
    row.addEventListener("click", () => set({ stat }));
    return row;
  }));
};
// Over all heads of A, with its baseline inside.
const ranges = new Map();
const statRange = (stat) => {
  const key = `${state.a} ${stat}`;
  if (!ranges.has(key)) {
    const reading = readingA(), base = reading.baselines[stat];
    let low = present(base) ? base : Infinity, high = present(base) ? base : -Infinity;
    for (let i = stat; i < reading.values.length; i += data.statistics.length) {
      const v = reading.values[i];
      if (present(v)) { low = Math.min(low, v); high = Math.max(high, v); }
    }
    ranges.set(key, { low, high });
  }
  return ranges.get(key);
};

const showMaps = async () => {
  if (!state.open || state.view !== "map") return;
  const { a, b, layer, head, quantity, shade, panel } = state;
  const key = JSON.stringify([a, b, layer, head, quantity, shade, panel]);
  showMaps.key = key;
  const [mapA, mapB] = await Promise.all([getMap(a, layer, head, quantity), b >= 0 ? getMap(b, layer, head, quantity) : null]);
  if (showMaps.key !== key) return; // another head was chosen meanwhile
  Object.assign(currentMaps, { a: mapA, b: mapB });
  const n = (panel === "b" && b >= 0 ? mapB : mapA)?.n ?? mapB?.n ?? 0;
  if (n && camera.n !== n) { fitCamera(n); cursor.pinned = -1; }
  const [A, B, D] = mapPanels, visible = b < 0 ? ["a"] : panel === "all" ? ["a", "b", "d"] : [panel];
  mapPanels.forEach((p) => { p.figure.hidden = !visible.includes(p.kind); });
  mapBox.classList.toggle("many", visible.length > 1);
  const missing = (r) => hasMaps(data.readings[r]) ? `No map of ${letters[quantity]} of this head is in the file.` : "This file holds statistics only: no maps were asked for.";
  const label = (letter, reading) => [make("b", letter.toUpperCase(), `mark ${letter}`), ` ${reading.name}`];
  // The same source stays, so that its picture need not be painted again.
  const source = (p, map) => !map ? null : p.source?.map === map && p.source.shade === shade ? p.source : new Single(map, shade);
  A.show(source(A, mapA), b < 0 ? `${letters[quantity]} of ${headName(layer, head)}` : label("a", readingA()), missing(a));
  let difference = null;
  if (b >= 0) {
    B.show(mapB && mapA && mapB.n !== mapA.n && visible.length > 1 ? null : source(B, mapB), label("b", readingB()), mapB ? "B has another number of tokens: choose panel B to see it alone." : missing(b));
    if (mapA && mapB && mapA.n === mapB.n && mapA.grid === mapB.grid && (visible.includes("d"))) {
      difference = D.source?.a === mapA && D.source.b === mapB && D.source.shade === shade ? D.source : new Difference(mapA, mapB, shade);
    }
    D.show(difference, "A − B", !mapA || !mapB ? "One of the two has no map of this head." : "A and B have different numbers of tokens: their maps cannot be subtracted.");
  }
  differences.hidden = visible.length < 2;
  if (!differences.hidden) fillDifferences(difference);
  noteMaps(mapA ?? mapB);
  drawnMaps.next = `${layer}.${head}`;
  redrawMaps();
  redrawCursors();
  // What the arrow keys may ask for next.
  if (b < 0) for (const [l, h] of [[layer, head + 1], [layer, head - 1], [layer + 1, head], [layer - 1, head]]) if (l >= 0 && h >= 0) getMap(a, l, h, quantity);
};
const noteMaps = (map) => {
  const parts = [];
  if (map) {
    if (map.pooled) parts.push(`${count(map.n)} tokens in ${map.grid} × ${map.grid} cells: a cell is the largest weight in it. The ${map.keep} largest keys of every query are exact: zoom in to see them, or point at a row.`);
    else parts.push(`Weights are stored in 256 steps of their root (≈); the ${map.keep} largest of each query are exact to 16 bits.`);
    if (map.letter === "w" && state.shade === "root") parts.push("Colour: √weight, so that small weights show.");
    if (map.letter === "s") parts.push("Scores before the softmax, 254 linear steps.");
    if (map.letter === "v") parts.push("Weight times the norm of the key's value vector.");
  }
  const reading = readingA();
  if (reading.not_finite) parts.push(`${count(reading.not_finite)} numbers of these maps were not finite and are left out.`);
  if (reading.clipped) parts.push(`${count(reading.clipped)} weights above 1 were clipped.`);
  $("map-note").textContent = parts.join(" ");
};

const fillHead = () => {
  $("overview").hidden = state.open;
  $("detail").hidden = !state.open;
  if (!state.open) return;
  const title = $("head-title");
  title.textContent = `Layer ${state.layer} · Head ${state.head}`;
  $("map-view").hidden = state.view !== "map";
  $("line-view").hidden = state.view !== "lines";
  $("zoom").hidden = $("quantity-label").hidden = state.view !== "map";
  $("map-note").hidden = state.view !== "map";
  segments($("view"), [["map", "Map", "m"], ["lines", "Lines", "l"]], state.view, (view) => set({ view }));
  const panels = $("panels");
  panels.hidden = state.b < 0;
  if (state.b >= 0) {
    const options = state.view === "map" ? [["all", "all"], ["a", "A"], ["b", "B"], ["d", "A − B"]] : [["a", "A"], ["b", "B"]];
    const chosen = state.view === "lines" && state.panel !== "b" ? "a" : state.panel;
    segments(panels, options, chosen, (panel) => set({ panel }));
  }
  const box = $("quantity"), reading = readingA();
  const has = (letter) => reading.maps[letter]?.size > 0;
  const options = has("w") || !hasMaps(reading) ? [["w:root", "weights, root colours"], ["w:linear", "weights, linear colours"]] : [];
  if (has("v")) options.push(["v:root", "value-weighted α‖v‖"]);
  if (has("s")) options.push(["s:linear", "scores"]);
  box.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  box.value = `${state.quantity}:${state.shade}`;
  if (box.selectedIndex < 0) {
    const [quantity, shade] = options[0][0].split(":");
    set({ quantity, shade });
  }
};
$("quantity").addEventListener("change", (event) => {
  const [quantity, shade] = event.target.value.split(":");
  set({ quantity, shade });
});
on(["open", "layer", "head", "a", "b", "view", "quantity", "shade", "panel"], (changed) => {
  fillHead();
  if (changed.has("open") && state.open) {
    cursor.pinned = -1;
    // On a narrow screen the map lies below the survey.
    if (!matchMedia("(min-width: 1100px)").matches) $("stage").scrollIntoView();
  }
  redrawCursors();
  showMaps();
});
on(["open", "layer", "head", "a", "b", "stat"], fillStats);
on(["theme"], () => { redrawMaps(); if (state.open && !differences.hidden) fillDifferences(mapPanels[2].source); });
$("back").addEventListener("click", () => goBack());
const goBack = () => {
  hideTip();
  set({ open: false });
  survey.canvas.focus({ preventScroll: false });
};
const nextHead = (by) => {
  const { layers, heads } = readingA(), at = clamp(state.layer * heads + state.head + by, 0, layers * heads - 1);
  select(Math.floor(at / heads), at % heads);
};
$("prev-head").addEventListener("click", () => nextHead(-1));
$("next-head").addEventListener("click", () => nextHead(1));
$("zoom-in").addEventListener("click", () => zoomBy(0.6));
$("zoom-out").addEventListener("click", () => zoomBy(1 / 0.6));
$("zoom-fit").addEventListener("click", () => { fitCamera(camera.n); redrawMaps(); });
