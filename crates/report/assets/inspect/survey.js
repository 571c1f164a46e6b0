// Layers × heads, coloured by a statistic; at the right the mean of each layer.
const survey = { canvas: $("survey-canvas"), left: 30, top: 18, bar: 34, cw: 12, ch: 12, hover: null };
const surveyRoom = () => {
  const box = $("survey-box");
  const wide = matchMedia("(min-width: 1100px)").matches;
  const height = wide ? Math.max(150, innerHeight * 0.46 - 60) : 420;
  return [box.clientWidth - 6, height];
};
const drawSurvey = () => {
  const { layers, heads } = readingA();
  const [width, height] = surveyRoom();
  const s = survey;
  s.left = 14 + 7 * String(layers - 1).length;
  s.cw = clamp(Math.floor((width - s.left - s.bar) / heads), 6, 44);
  s.ch = clamp(Math.floor((height - s.top) / layers), 7, 26);
  if (s.cw > s.ch * 3) s.cw = s.ch * 3;
  const c = fit(s.canvas, s.left + s.cw * heads + s.bar, s.top + s.ch * layers + 1);
  const gap = s.cw >= 9 && s.ch >= 9 ? 1 : 0.5;
  c.font = `10px ${SANS}`;
  c.fillStyle = ink("soft");
  c.textBaseline = "middle";
  const every = (size, room) => [1, 2, 4, 8, 16, 32, 64].find((n) => n * size >= room) ?? 128;
  c.textAlign = "right";
  const rows = every(s.ch, 11), columns = every(s.cw, 7 + 6 * String(heads).length);
  for (let l = 0; l < layers; l += rows) c.fillText(l, s.left - 6, s.top + (l + 0.5) * s.ch);
  c.textAlign = "center";
  for (let h = 0; h < heads; h += columns) c.fillText(h, s.left + (h + 0.5) * s.cw, 8);
  const kind = rampKind();
  const means = [];
  for (let l = 0; l < layers; l++) {
    let sum = 0, n = 0;
    for (let h = 0; h < heads; h++) {
      const value = shown(l, h);
      const x = s.left + h * s.cw, y = s.top + l * s.ch;
      if (present(value)) {
        sum += value;
        n++;
        c.globalAlpha = filterTest && !filterTest(l, h) ? 0.13 : 1;
        c.fillStyle = rampAt(kind, shareOf(state.stat, value));
        c.fillRect(x, y, s.cw - gap, s.ch - gap);
        c.globalAlpha = 1;
      } else {
        c.strokeStyle = ink("grid");
        c.strokeRect(x + 0.5, y + 0.5, s.cw - gap - 1, s.ch - gap - 1);
      }
    }
    means.push(n ? sum / n : NaN);
  }
  // Layer means, as bars from the lowest (or from 0 when a difference is shown).
  const known = means.filter(present);
  const low = isDifference() ? 0 : Math.min(0, ...known), most = Math.max(1e-12, ...known.map((m) => Math.abs(m - low)));
  c.fillStyle = ink("soft");
  const x0 = s.left + s.cw * heads + 6;
  means.forEach((mean, l) => {
    if (!present(mean)) return;
    c.globalAlpha = 0.55;
    c.fillStyle = isDifference() ? rampAt(kind, mean < 0 ? 0.18 : 0.82) : ink("soft");
    c.fillRect(x0, s.top + l * s.ch + s.ch * 0.25, Math.max(1, Math.abs(mean - low) / most * (s.bar - 8)), Math.max(1, s.ch * 0.5 - gap));
    c.globalAlpha = 1;
  });
  if (s.ch >= 7) { c.fillStyle = ink("soft"); c.textAlign = "left"; c.fillText("mean", x0 - 2, 8); }
  const outline = (l, h, colour, thick) => {
    c.lineWidth = thick;
    c.strokeStyle = colour;
    c.strokeRect(s.left + h * s.cw - gap / 2, s.top + l * s.ch - gap / 2, s.cw, s.ch);
  };
  if (s.hover) outline(...s.hover, ink("soft"), 1.5);
  outline(state.layer, state.head, ink("paper"), 4);
  outline(state.layer, state.head, ink("select"), 2);
  c.lineWidth = 1;
};
const redrawSurvey = frame(drawSurvey);

const drawLegend = () => {
  const bar = $("legend-canvas"), width = bar.parentNode.clientWidth;
  const c = fit(bar, width, 10);
  const kind = rampKind();
  for (let x = 0; x < width; x++) { c.fillStyle = rampAt(kind, x / Math.max(1, width - 1)); c.fillRect(x, 0, 1.5, 10); }
  const { values, low, high } = spread(state.stat);
  const most = Math.max(Math.abs(low), Math.abs(high));
  $("legend-low").textContent = isDifference() ? signed(-most) : fmt(low);
  $("legend-high").textContent = isDifference() ? signed(most) : fmt(high);
  const base = shownBaseline(state.stat), mark = $("legend-base"), middle = $("legend-mid");
  const place = base === null ? null : shareOf(state.stat, base);
  mark.hidden = place === null || place < -0.001 || place > 1.001;
  if (!mark.hidden) mark.style.left = `${place * 100}%`;
  if (isDifference()) middle.textContent = "A − B";
  else if (base !== null) middle.textContent = `uniform attention ${fmt(base)}${mark.hidden ? ` (${place < 0 ? "below" : "above"} all)` : ""}`;
  else middle.textContent = state.scale === "rank" ? `median ${fmt(values[values.length >> 1])}` : "";
  const info = data.statistics[state.stat];
  $("formula").textContent = info ? [info.formula, info.higher && `high: ${info.higher}`].filter(Boolean).join(" · ") : "";
};

// What a head's tooltip says; with the thumbnail of its map.
const headTip = (layer, head) => {
  const rows = [];
  const a = readingA(), b = readingB();
  const info = data.statistics[state.stat];
  if (info) {
    const va = valueOf(a, layer, head, state.stat);
    const half = a.intervals?.[(layer * a.heads + head) * data.statistics.length + state.stat];
    rows.push([info.title, fmt(va) + (present(half) ? ` ± ${fmt(half)}` : "")]);
    if (b) {
      const vb = valueOf(b, layer, head, state.stat);
      rows.push(["B", fmt(vb)], ["A − B", signed(va - vb)]);
    }
    const base = a.baselines[state.stat];
    if (present(base)) rows.push(["uniform", fmt(base)]);
    const all = spread(state.stat).values, value = shown(layer, head);
    if (present(value)) rows.push(["rank", rankOf(state.stat, value)]);
  }
  const nodes = [make("b", headName(layer, head)), tipRows(rows)];
  const thumb = thumbCanvas(layer, head);
  if (thumb) nodes.unshift(thumb);
  return nodes;
};

const cellAt = (event) => {
  const box = survey.canvas.getBoundingClientRect(), { layers, heads } = readingA();
  const head = Math.floor((event.clientX - box.left - survey.left) / survey.cw);
  const layer = Math.floor((event.clientY - box.top - survey.top) / survey.ch);
  return head >= 0 && layer >= 0 && head < heads && layer < layers ? [layer, head] : null;
};
survey.canvas.addEventListener("pointermove", (event) => {
  const cell = cellAt(event);
  survey.hover = cell;
  if (cell) showTip(headTip(...cell), event.clientX, event.clientY); else hideTip();
  redrawSurvey();
  redrawGallery();
});
survey.canvas.addEventListener("pointerleave", () => { survey.hover = null; hideTip(); redrawSurvey(); redrawGallery(); });
survey.canvas.addEventListener("click", (event) => {
  const cell = cellAt(event);
  if (cell) openHead(...cell);
});
const moveHead = (down, right) => {
  const { layers, heads } = readingA();
  select(clamp(state.layer + down, 0, layers - 1), clamp(state.head + right, 0, heads - 1));
};
const readHead = () => {
  const info = data.statistics[state.stat];
  $("survey-readout").textContent = `layer ${state.layer}, head ${state.head}${info ? `, ${info.title} ${fmt(shown(state.layer, state.head))}` : ""}`;
};

on(["stat", "scale", "show", "a", "b", "filter", "theme"], () => { redrawSurvey(); drawLegend(); });
on(["layer", "head"], () => {
  redrawSurvey();
  readHead();
});
