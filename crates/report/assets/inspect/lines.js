// Two columns of the same tokens, queries left and keys right; a line is a weight, its colour a head.
const lines = { canvas: $("lines"), box: $("line-box"), row: 19, top: 22, count: 64, from: 0, heads: new Set(), side: null, index: -1, maps: new Map(), threshold: 0.02 };
const lineReading = () => state.panel === "b" && state.b >= 0 ? state.b : state.a;

const loadLines = async () => {
  if (!state.open || state.view !== "lines") return;
  const r = lineReading(), layer = state.layer, key = `${r} ${layer} ${[...lines.heads]}`;
  lines.key = key;
  const found = await Promise.all([...lines.heads].map(async (head) => [head, await getMap(r, layer, head, "w")]));
  if (lines.key !== key) return;
  lines.maps = new Map(found.filter(([, map]) => map).sort((x, y) => x[0] - y[0]));
  drawSwatches();
  redrawLines();
};
const lineWindow = () => {
  const n = data.readings[lineReading()].n;
  lines.count = Math.min(n, 64);
  lines.from = clamp(lines.from, 0, n - lines.count);
  const slider = $("window");
  slider.max = String(n - lines.count);
  slider.value = String(lines.from);
  slider.closest("label").hidden = n <= 64;
  $("window-note").textContent = n <= 64 ? `${n} tokens` : `${lines.from}–${lines.from + lines.count - 1} of ${count(n)}`;
};
const lineGeometry = () => {
  const width = lines.box.clientWidth - 4, label = clamp(width * 0.28, 90, 190);
  return { width, label, x0: label, x1: width - label, y: (i) => lines.top + (i - lines.from + 0.5) * lines.row };
};
// Weights of a query that a line is drawn for.
const rowOf = (map, q) => map.pooled ? map.top(q).filter((e) => e.value >= lines.threshold) : cellsOf(map, q);
const cellsOf = (map, q) => {
  const found = [], least = Math.floor(Math.sqrt(lines.threshold / (map.high || 1)) * 255);
  const keys = map.causal ? q + 1 : map.n;
  for (let key = 0; key < keys; key++) {
    if (map.step(q, key) >= least) {
      const { value } = map.at(q, key);
      if (value >= lines.threshold) found.push({ key, value });
    }
  }
  return found;
};
const drawLines = () => {
  if (!state.open || state.view !== "lines") return;
  lineWindow();
  const tokens = data.readings[lineReading()].tokens, { width, label, x0, x1, y } = lineGeometry();
  const c = fit(lines.canvas, width, lines.top + (lines.count + 1) * lines.row);
  const last = lines.from + lines.count;
  const isolated = lines.index >= lines.from && lines.index < last ? lines.side : null;
  const tints = new Map(); // token on the other side → [head, weight]
  const above = lines.top - lines.row * 0.5, under = lines.top + (lines.count + 0.5) * lines.row;
  c.lineCap = "round";
  for (const [head, map] of lines.maps) {
    c.strokeStyle = headInk(head);
    for (let q = lines.from; q < last; q++) {
      if (isolated === "query" && q !== lines.index) continue;
      for (const { key, value } of rowOf(map, q)) {
        if (isolated === "key" && key !== lines.index) continue;
        const end = key < lines.from ? above : key >= last ? under : y(key);
        c.globalAlpha = clamp(Math.pow(value, 0.75) / Math.pow(lines.maps.size, isolated ? 0.15 : 0.35), 0.03, 1);
        c.lineWidth = 0.8 + 2.2 * value;
        c.beginPath();
        c.moveTo(x0 + 3, y(q));
        c.bezierCurveTo(x0 + (x1 - x0) * 0.35, y(q), x1 - (x1 - x0) * 0.35, end, x1 - 3, end);
        c.stroke();
        if (isolated) {
          const other = isolated === "query" ? key : q;
          if (!tints.has(other)) tints.set(other, []);
          tints.get(other).push([head, value]);
        }
      }
    }
  }
  c.globalAlpha = 1;
  c.textBaseline = "middle";
  c.font = `10px ${SANS}`;
  c.fillStyle = ink("faint");
  c.textAlign = "right";
  c.fillText("query", x0 - 8, 8);
  c.textAlign = "left";
  c.fillText(lines.from > 0 ? `key · ${count(lines.from)} earlier ↑` : "key", x1 + 8, 8);
  const n = tokens.length;
  if (last < n && ![...lines.maps.values()].every((m) => m.causal)) c.fillText(`${count(n - last)} later ↓`, x1 + 8, under + 2);
  c.font = `12px ${MONO}`;
  const digits = String(n - 1).length * 6.6 + 6;
  for (let i = lines.from; i < last; i++) {
    for (const side of ["query", "key"]) {
      const left = side === "query", chosen = isolated === side && i === lines.index;
      if (isolated && isolated !== side && tints.has(i)) {
        // A bar for each head, as long as its weight.
        const bars = tints.get(i), high = (lines.row - 2) / bars.length;
        bars.forEach(([head, value], at) => {
          c.fillStyle = headInk(head);
          c.globalAlpha = 0.42;
          const long = Math.max(2, value * (label - 8));
          c.fillRect(left ? x0 - 4 - long : x1 + 4, y(i) - lines.row / 2 + 1 + at * high, long, Math.max(1, high));
          c.globalAlpha = 1;
        });
      }
      if (chosen) {
        c.fillStyle = ink("shade");
        c.fillRect(left ? 0 : x1 + 3, y(i) - lines.row / 2, label - 3, lines.row);
      }
      const dim = isolated && !chosen && !(isolated !== side && tints.has(i));
      c.globalAlpha = dim ? 0.4 : 1;
      c.fillStyle = ink("ink");
      c.textAlign = left ? "right" : "left";
      c.fillText(cut(c, tokens[i], label - 12 - digits), left ? x0 - 8 : x1 + 8, y(i));
      c.fillStyle = ink("faint");
      c.textAlign = left ? "left" : "right";
      c.fillText(i, left ? 2 : width - 2, y(i));
      c.globalAlpha = 1;
    }
  }
  if (!lines.maps.size) {
    c.fillStyle = ink("soft");
    c.font = `13px ${SANS}`;
    c.textAlign = "center";
    c.fillText(lines.heads.size ? "no map of these heads is in this file" : "choose a head above", (x0 + x1) / 2, lines.top + 40);
  }
};
const redrawLines = frame(drawLines);

const isolate = (side, index) => {
  if (lines.side === side && lines.index === index) return;
  Object.assign(lines, { side, index });
  redrawLines();
};
// Beside the canvas, so that it covers no line.
const lineTip = () => {
  const box = lines.canvas.getBoundingClientRect(), place = [lines.side === "query" ? box.left - 6 : box.right - 10, box.top + lineGeometry().y(lines.index) - 30, lines.side === "query"];
  const tokens = data.readings[lineReading()].tokens, rows = [];
  for (const [head, map] of lines.maps) {
    if (lines.side === "query") {
      for (const e of map.row(lines.index, 5).slice(0, lines.maps.size > 2 ? 2 : 5)) rows.push([`H${head}`, String(e.key), tokenNode(tokens[e.key]), fmt(e.value)]);
    } else {
      const found = [];
      for (let q = lines.from; q < lines.from + lines.count; q++) { const w = map.pooled ? map.top(q).find((e) => e.key === lines.index) : map.at(q, lines.index); if (w) found.push([q, w.value]); }
      found.sort((a, b) => b[1] - a[1]);
      for (const [q, value] of found.slice(0, lines.maps.size > 2 ? 2 : 5)) rows.push([`H${head}`, String(q), tokenNode(tokens[q]), fmt(value)]);
    }
  }
  const cap = make("b");
  cap.append(`${lines.side === "query" ? "query" : "key"} ${lines.index} `, tokenNode(tokens[lines.index]), lines.side === "query" ? " looks at" : " is seen from");
  const nodes = [cap, tipRows(rows)];
  $("map-readout").textContent = nodes.map((node) => node.textContent).join(": ");
  showTip(nodes, ...place);
};
lines.canvas.addEventListener("pointermove", (event) => {
  const box = lines.canvas.getBoundingClientRect(), { x0, x1 } = lineGeometry();
  const x = event.clientX - box.left, at = lines.from + Math.floor((event.clientY - box.top - lines.top) / lines.row);
  const inside = at >= lines.from && at < lines.from + lines.count;
  const side = x < x0 + 12 ? "query" : x > x1 - 12 ? "key" : null;
  if (inside && side) { isolate(side, at); lineTip(); } else { isolate(null, -1); hideTip(); }
});
lines.canvas.addEventListener("pointerleave", () => { isolate(null, -1); hideTip(); });
lines.canvas.addEventListener("keydown", (event) => {
  const n = data.readings[lineReading()].n;
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 32, PageUp: -32 };
  if (event.key in steps) {
    const index = clamp(lines.index < 0 ? lines.from : lines.index + steps[event.key], 0, n - 1);
    if (index < lines.from) lines.from = index;
    if (index >= lines.from + lines.count) lines.from = index - lines.count + 1;
    isolate(lines.side ?? "query", index);
  } else if ((event.key === "ArrowLeft" || event.key === "ArrowRight") && lines.index >= 0) isolate(event.key === "ArrowLeft" ? "query" : "key", lines.index);
  else if (event.key === "Escape" && lines.index >= 0) { isolate(null, -1); hideTip(); event.stopPropagation(); event.preventDefault(); return; }
  else return;
  event.preventDefault();
  event.stopPropagation();
  const at = lineGeometry().y(lines.index);
  if (at - lines.row < lines.box.scrollTop) lines.box.scrollTop = at - lines.row * 2;
  else if (at + lines.row > lines.box.scrollTop + lines.box.clientHeight) lines.box.scrollTop = at + lines.row * 2 - lines.box.clientHeight;
  lineTip();
});
lines.canvas.addEventListener("blur", () => { isolate(null, -1); hideTip(); });
$("window").addEventListener("input", (event) => { lines.from = Number(event.target.value); redrawLines(); });
$("threshold").addEventListener("change", (event) => { lines.threshold = Number(event.target.value); redrawLines(); });

// Made anew for another layer only: a double click must find the button that the first click hit.
const drawSwatches = () => {
  const r = lineReading(), reading = data.readings[r], box = $("swatches");
  const key = `${r} ${state.layer} ${isDark()}`;
  if (lines.made !== key) {
    lines.made = key;
    box.replaceChildren(...Array.from({ length: reading.heads }, (_, head) => swatch(reading, head)));
  }
  [...box.children].forEach((button, head) => button.setAttribute("aria-pressed", String(lines.heads.has(head))));
};
const swatch = (reading, head) => {
  const layer = state.layer, drawable = (h) => hasMap(reading, layer, h, "w");
  const button = make("button", String(head), "swatch");
  button.type = "button";
  button.disabled = !drawable(head);
  button.style.setProperty("--swatch", headInk(head));
  button.setAttribute("aria-label", `head ${head}`);
  button.title = "click: draw or not · double-click: only this one, again: all";
  button.addEventListener("click", (event) => {
    if (event.detail > 1) return;
    lines.heads.has(head) ? lines.heads.delete(head) : lines.heads.add(head);
    loadLines();
  });
  button.addEventListener("dblclick", () => {
    const alone = lines.alone === head;
    lines.alone = alone ? -1 : head;
    lines.heads = new Set(alone ? Array.from({ length: reading.heads }, (_, h) => h).filter(drawable) : [head]);
    loadLines();
  });
  return button;
};
on(["layer", "head", "a", "b", "panel", "open", "view"], (changed) => {
  if (changed.has("layer") || changed.has("head") || changed.has("a")) { lines.heads = new Set([state.head]); lines.alone = state.head; }
  loadLines();
});
on(["theme"], () => { drawSwatches(); redrawLines(); });
