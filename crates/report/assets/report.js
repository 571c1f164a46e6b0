// Interaction only: the page reads without it.
const percent = (share) => (share * 100).toFixed(1);
const nats = (loss) => loss.toFixed(3);
document.querySelectorAll(".needs-script").forEach((node) => { node.hidden = false; });

// ---- theme
const root = document.documentElement;
const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
const themeButton = $("theme");
const nameTheme = () => { themeButton.textContent = isDark() ? "Light" : "Dark"; };
const repaint = [];
themeButton.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  nameTheme();
  repaint.forEach((draw) => draw());
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { nameTheme(); repaint.forEach((draw) => draw()); });
nameTheme();

// ---- paper shows what is folded on the screen
addEventListener("beforeprint", () => { document.querySelectorAll("main section details").forEach((fold) => { fold.open = true; }); });

// ---- legend: a press hides a line everywhere, a double click leaves it alone
const hidden = new Set();
const keys = [...document.querySelectorAll(".key[data-column]")];
const applyHidden = () => {
  for (const key of keys) key.setAttribute("aria-pressed", String(!hidden.has(Number(key.dataset.column))));
  for (const node of document.querySelectorAll(".enc")) {
    const column = Number([...node.classList].find((name) => /^e\d+$/.test(name)).slice(1));
    node.style.display = hidden.has(column) ? "none" : "";
  }
  $("show-all").hidden = hidden.size === 0;
};
for (const key of keys) {
  const column = Number(key.dataset.column);
  key.title = "click: hide or show · double click: only this one";
  key.addEventListener("click", () => { hidden.has(column) ? hidden.delete(column) : hidden.add(column); applyHidden(); });
  key.addEventListener("dblclick", () => {
    hidden.clear();
    for (const other of keys) if (other !== key) hidden.add(Number(other.dataset.column));
    applyHidden();
  });
}
$("show-all").addEventListener("click", () => { hidden.clear(); applyHidden(); });
applyHidden();
// The legend's markers are those of the figures.
for (const svg of document.querySelectorAll("[data-marker]")) {
  const mark = document.querySelector(`svg.chart .e${svg.dataset.marker} > :is(circle,polygon:not([opacity])):last-of-type`);
  if (!mark) continue;
  const copy = mark.cloneNode(true);
  svg.replaceChildren(copy);
  const box = copy.getBBox();
  copy.setAttribute("transform", `scale(1.45) translate(${-(box.x + box.width / 2)} ${-(box.y + box.height / 2)})`);
}

// ---- tooltip
const tip = $("tip");
const showTip = (content, x, y) => {
  tip.replaceChildren(...content);
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(6, x + 18 + box.width > innerWidth ? x - box.width - 14 : x + 18)}px`;
  tip.style.top = `${Math.max(6, Math.min(y + 14, innerHeight - box.height - 6))}px`;
};
const hideTip = () => { tip.hidden = true; };
addEventListener("scroll", hideTip, { passive: true });

// ---- length curves
for (const svg of document.querySelectorAll("svg.chart")) {
  const chart = data.charts[Number(svg.dataset.chart)];
  if (!chart.lengths.length) continue;
  const cross = svg.querySelector(".cross");
  let place = -1;
  const xOf = (length) => chart.left + (chart.to > chart.from ? (length - chart.from) / (chart.to - chart.from) : 0.5) * (chart.right - chart.left);
  const read = (index, x, y) => {
    place = Math.max(0, Math.min(chart.lengths.length - 1, index));
    const at = xOf(chart.lengths[place]);
    cross.setAttribute("x1", at);
    cross.setAttribute("x2", at);
    const which = $("m-token").checked ? 1 : 0;
    const written = chart.nats ? nats : percent;
    const rows = chart.series
      .filter((line) => !hidden.has(line.column) && line.values[which][place])
      .map((line) => ({ column: line.column, value: line.values[which][place] }))
      .sort((a, b) => (b.value[0] - a.value[0]) * (chart.nats ? -1 : 1));
    const table = make("table");
    for (const row of rows) {
      const tr = table.insertRow();
      const name = tr.insertCell();
      const dot = make("i", undefined, "dot");
      dot.style.background = `var(--c${row.column % 8})`;
      name.append(dot, data.columns[row.column]);
      tr.insertCell().textContent = written(row.value[0]);
      tr.insertCell().textContent = row.value[1] === row.value[2] ? "" : `${written(row.value[1])} – ${written(row.value[2])}`;
    }
    const chance = chart.chance[which][place];
    if (chance !== null) {
      const tr = table.insertRow();
      tr.insertCell().textContent = "chance";
      tr.insertCell().textContent = percent(chance);
      tr.insertCell();
    }
    if (x === undefined) {
      const box = svg.getBoundingClientRect();
      x = box.left + at / chart.width * box.width;
      y = box.top + 30;
    }
    showTip([make("b", `length ${chart.lengths[place]}${chart.nats ? ", loss in nats" : ""}`), table], x, y);
  };
  const leave = () => { hideTip(); cross.setAttribute("x1", -9); cross.setAttribute("x2", -9); };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * chart.width;
    let best = 0;
    chart.lengths.forEach((length, i) => { if (Math.abs(xOf(length) - x) < Math.abs(xOf(chart.lengths[best]) - x)) best = i; });
    read(best, event.clientX, event.clientY);
  });
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("blur", leave);
  svg.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: chart.lengths.length - 1 };
    if (event.key in moves) { read(moves[event.key]); event.preventDefault(); }
    if (event.key === "Escape") leave();
  });
}

// ---- heatmap: moves the focus to the task as well as the view
for (const link of document.querySelectorAll(".heat a")) {
  link.addEventListener("click", () => {
    const card = document.querySelector(link.getAttribute("href"));
    if (card) card.focus({ preventScroll: true });
  });
}

// ---- table
for (const header of document.querySelectorAll("th[data-sort]")) {
  const button = make("button", header.textContent);
  button.type = "button";
  header.replaceChildren(button);
  const index = header.cellIndex;
  button.addEventListener("click", () => {
    const ascending = header.getAttribute("aria-sort") !== "ascending";
    for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const body = header.closest("table").tBodies[0];
    const value = (row) => {
      const set = row.cells[index].dataset;
      return Number(set.v ?? ($("m-token").checked ? set.token : set.exact));
    };
    const rows = [...body.rows];
    rows.sort((a, b) => (value(a) - value(b)) * (ascending ? 1 : -1));
    body.append(...rows);
  });
}

// ---- attention maps
const channels = (css) => css.match(/[\d.]+/g).slice(0, 3).map(Number);

if (data.maps.length) {
  const runSelect = $("map-run"), exampleSelect = $("map-example"), gammaSelect = $("map-gamma"), scoreSelect = $("map-score");
  const canvas = $("map-canvas"), thumbs = $("map-thumbs");
  data.maps.forEach((run, i) => runSelect.append(new Option(run.title, i)));
  let run, example, bytes, layer = 0, head = 0, query = -1, key = -1, geometry;

  const perHead = () => run.causal ? run.length * (run.length + 1) / 2 : run.length * run.length;
  const raw = (l, h, q, k) => {
    if (run.causal && k > q) return null;
    return bytes[(l * run.heads + h) * perHead() + (run.causal ? q * (q + 1) / 2 + k : q * run.length + k)];
  };
  const weight = (l, h, q, k) => {
    const byte = raw(l, h, q, k);
    return byte === null ? null : example.low + byte / 255 * (example.high - example.low);
  };
  // Two-segment ramps: from the card's colour through the accent to the ink, so that both themes read "more is stronger".
  const ramp = () => {
    const stops = (isDark() ? ["rgb(27 31 38)", "rgb(31 111 160)", "rgb(126 214 223)", "rgb(255 247 214)"] : ["rgb(255 255 255)", "rgb(158 202 225)", "rgb(33 113 181)", "rgb(8 35 86)"]).map(channels);
    const gamma = Number(gammaSelect.value);
    return Array.from({ length: 256 }, (_, i) => {
      const t = Math.pow(i / 255, gamma) * (stops.length - 1), a = Math.min(stops.length - 2, Math.floor(t));
      return stops[a].map((c, j) => Math.round(c + (stops[a + 1][j] - c) * (t - a)));
    });
  };
  const picture = (l, h, colours) => {
    const image = new ImageData(run.length, run.length);
    const blank = channels(colour("shade"));
    for (let q = 0; q < run.length; q++) for (let k = 0; k < run.length; k++) {
      const byte = raw(l, h, q, k);
      image.data.set([...(byte === null ? blank : colours[byte]), 255], (q * run.length + k) * 4);
    }
    const small = make("canvas");
    small.width = small.height = run.length;
    small.getContext("2d").putImageData(image, 0, 0);
    return small;
  };
  const scoresOf = (l, h) => run.scores.find((s) => s.layer === run.layers[l] && s.head === h);

  const drawThumbs = () => {
    const colours = ramp();
    const wanted = scoreSelect.value;
    const values = run.scores.map((s) => s.values.find((v) => v[0] === wanted)?.[1]).filter((v) => v !== undefined && v !== null);
    const low = Math.min(...values), high = Math.max(...values);
    thumbs.replaceChildren();
    thumbs.style.setProperty("--thumb", run.heads > 10 ? "30px" : run.heads > 6 ? "42px" : "58px");
    thumbs.style.gridTemplateColumns = `auto repeat(${run.heads}, auto)`;
    thumbs.append(make("span", ""));
    for (let h = 0; h < run.heads; h++) thumbs.append(make("span", run.heads > 6 ? String(h) : `head ${h}`));
    run.layers.forEach((number, l) => {
      thumbs.append(make("span", `layer ${number}`));
      for (let h = 0; h < run.heads; h++) {
        const button = make("button");
        button.type = "button";
        button.setAttribute("aria-label", `layer ${number}, head ${h}`);
        button.setAttribute("aria-pressed", String(l === layer && h === head));
        const score = wanted && scoresOf(l, h)?.values.find((v) => v[0] === wanted)?.[1];
        button.title = `layer ${number}, head ${h}` + (typeof score === "number" ? `, ${wanted} ${score.toPrecision(3)}` : "");
        if (typeof score === "number") button.style.background = `color-mix(in srgb, var(--c1) ${Math.round(high > low ? (score - low) / (high - low) * 100 : 0)}%, transparent)`;
        button.append(picture(l, h, colours));
        button.addEventListener("click", () => { layer = l; head = h; query = key = -1; drawAll(); thumbs.querySelectorAll("button")[l * run.heads + h].focus(); });
        button.addEventListener("keydown", (event) => {
          const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -run.heads, ArrowDown: run.heads }[event.key];
          const next = step && thumbs.querySelectorAll("button")[l * run.heads + h + step];
          if (next) { next.focus(); event.preventDefault(); }
        });
        thumbs.append(button);
      }
    });
  };

  const shown = (token) => {
    const visible = token.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/ /g, "␣");
    return visible.length > 9 ? `${visible.slice(0, 8)}…` : visible;
  };
  const drawBig = () => {
    $("map-title").textContent = `Layer ${run.layers[layer]}, head ${head}`;
    const n = run.length, room = Math.max(280, $("map-big").clientWidth - 120);
    const cell = Math.max(6, Math.min(30, Math.floor(Math.min(room, 560) / n)));
    const font = Math.max(8, Math.min(13, cell + 1)), scale = devicePixelRatio || 1;
    const context = canvas.getContext("2d");
    context.font = `${font}px ui-monospace, Menlo, Consolas, monospace`;
    const names = example.tokens.map(shown);
    const margin = Math.ceil(Math.max(...names.map((name) => context.measureText(name).width))) + 12;
    const gap = 18;
    const size = margin + gap + n * cell + 2;
    canvas.width = size * scale;
    canvas.height = size * scale;
    canvas.style.width = canvas.style.height = `${size}px`;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, size, size);
    context.imageSmoothingEnabled = false;
    const start = margin + gap;
    geometry = { start, cell, n };
    context.drawImage(picture(layer, head, ramp()), start, start, n * cell, n * cell);
    context.strokeStyle = colour("grid");
    context.strokeRect(start - 0.5, start - 0.5, n * cell + 1, n * cell + 1);
    const ink = colour("ink"), soft = colour("soft"), accent = colour("accent");
    context.font = `12px system-ui, sans-serif`;
    context.fillStyle = soft;
    context.textBaseline = "middle";
    context.fillText("key →", start, 8);
    context.save();
    context.translate(8, start);
    context.rotate(-Math.PI / 2);
    context.textAlign = "right";
    context.fillText("← query", 0, 0);
    context.restore();
    context.font = `${font}px ui-monospace, Menlo, Consolas, monospace`;
    const every = Math.max(1, Math.ceil((font + 1) / cell));
    names.forEach((name, i) => {
      const marked = i === query || i === key;
      if (i % every && !marked) return;
      const middle = start + (i + 0.5) * cell;
      context.fillStyle = i === query ? accent : ink;
      context.textAlign = "right";
      context.fillText(name, start - 5, middle);
      context.save();
      context.translate(middle, start - 5);
      context.rotate(-Math.PI / 2);
      context.textAlign = "left";
      context.fillStyle = i === key ? accent : ink;
      context.fillText(name, 0, 0);
      context.restore();
    });
    if (query >= 0) {
      context.strokeStyle = accent;
      context.lineWidth = 1;
      context.strokeRect(start, start + query * cell + 0.5, n * cell, cell - 1);
      context.strokeRect(start + key * cell + 0.5, start, cell - 1, n * cell);
      context.lineWidth = 2;
      context.strokeRect(start + key * cell, start + query * cell, cell, cell);
    }
    canvas.setAttribute("aria-label", `Attention of layer ${run.layers[layer]}, head ${head}: ${n} queries by ${n} keys. Arrow keys move over it.`);
    readOut();
  };
  const readOut = () => {
    if (query < 0) {
      $("map-readout").textContent = "Point at a field, or focus the map and use the arrow keys.";
      return;
    }
    const value = weight(layer, head, query, key);
    const keys = [...Array(run.length).keys()].map((k) => [k, weight(layer, head, query, k)]).filter((p) => p[1] !== null);
    keys.sort((a, b) => b[1] - a[1]);
    const top = keys.slice(0, 3).map(([k, w]) => `“${shown(example.tokens[k])}” @${k} ${w.toFixed(3)}`).join(", ");
    $("map-readout").textContent = `query ${query} “${shown(example.tokens[query])}” → key ${key} “${shown(example.tokens[key])}”: ${value === null ? "not visible (later than the query)" : value.toFixed(3)}. This query looks most at ${top}.`;
  };
  const drawStats = () => {
    const table = $("map-stats");
    table.replaceChildren();
    const score = scoresOf(layer, head);
    if (!score) { table.insertRow().insertCell().textContent = "none recorded for this head"; return; }
    for (const [name, value, uniform] of score.values) {
      const row = table.insertRow();
      row.insertCell().textContent = name;
      row.insertCell().textContent = value === null ? "–" : String(Number(value.toPrecision(3)));
      const others = run.scores.flatMap((s) => s.values.filter((v) => v[0] === name).flatMap((v) => [v[1], v[2]])).filter((v) => v !== null);
      const low = Math.min(0, ...others), high = Math.max(...others, low + 1e-9);
      const meter = make("div", undefined, "meter");
      meter.title = `${name}: ${value}, uniform attention: ${uniform ?? "not defined"}`;
      const at = (v) => `${(v - low) / (high - low) * 100}%`;
      if (value !== null) { const bar = make("i"); bar.style.width = at(value); meter.append(bar); }
      if (uniform !== null) { const mark = make("u"); mark.style.left = `calc(${at(uniform)} - 1px)`; meter.append(mark); }
      row.insertCell().append(meter);
    }
  };
  const drawAll = () => { drawThumbs(); drawBig(); drawStats(); };
  const pickExample = () => {
    example = run.examples[Number(exampleSelect.value)];
    bytes = Uint8Array.from(atob(example.data), (c) => c.charCodeAt(0));
    query = key = -1;
    drawAll();
  };
  const pickRun = () => {
    run = data.maps[Number(runSelect.value)];
    layer = Math.min(layer, run.layers.length - 1);
    head = Math.min(head, run.heads - 1);
    exampleSelect.replaceChildren(...run.examples.map((_, i) => new Option(String(i + 1), i)));
    const names = [...new Set(run.scores.flatMap((s) => s.values.map((v) => v[0])))];
    scoreSelect.replaceChildren(new Option("nothing", ""), ...names.map((name) => new Option(name, name)));
    $("map-about").textContent = `${run.outcome}. Maps of step ${run.step}, first ${run.length} tokens; weights to within ±${((run.examples[0].high - run.examples[0].low) / 510).toFixed(3)}.`;
    pickExample();
  };
  const point = (q, k) => { query = Math.max(0, Math.min(run.length - 1, q)); key = Math.max(0, Math.min(run.length - 1, k)); drawBig(); };
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const k = Math.floor((event.clientX - box.left - geometry.start) / geometry.cell), q = Math.floor((event.clientY - box.top - geometry.start) / geometry.cell);
    if (q >= 0 && k >= 0 && q < run.length && k < run.length && (q !== query || k !== key)) point(q, k);
  });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (step) { query < 0 ? point(0, 0) : point(query + step[0], key + step[1]); event.preventDefault(); }
    if (event.key === "Escape") { query = key = -1; drawBig(); }
  });
  runSelect.addEventListener("change", pickRun);
  exampleSelect.addEventListener("change", pickExample);
  gammaSelect.addEventListener("change", drawAll);
  scoreSelect.addEventListener("change", drawThumbs);
  repaint.push(drawAll);
  addEventListener("resize", () => drawBig());
  pickRun();
}
