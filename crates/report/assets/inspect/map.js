// One map on a canvas, or the difference of two; all panels share the camera and the crosshair.
const camera = { x: 0, y: 0, span: 1, n: 0 };
const cursor = { q: -1, k: -1, pinned: -1 };
const MIN_SPAN = 6;
const fitCamera = (n) => Object.assign(camera, { x: 0, y: 0, span: n, n });
const placeCamera = (x, y, span) => {
  camera.span = clamp(span, Math.min(camera.n, MIN_SPAN), camera.n);
  camera.x = clamp(x, 0, camera.n - camera.span);
  camera.y = clamp(y, 0, camera.n - camera.span);
  redrawMaps();
};
const zoomBy = (factor, cx = camera.x + camera.span / 2, cy = camera.y + camera.span / 2) => {
  const span = clamp(camera.span * factor, Math.min(camera.n, MIN_SPAN), camera.n);
  placeCamera(cx - (cx - camera.x) * span / camera.span, cy - (cy - camera.y) * span / camera.span, span);
};

// What a panel draws: levels 0..=255 of a ramp, -1 for nothing.
class Single {
  constructor(map, shade) {
    Object.assign(this, { map, n: map.n, grid: map.grid, causal: map.causal, pooled: map.pooled, ramp: "sequence", shade });
    this.levels = Uint8Array.from({ length: 256 }, (_, step) => shade === "linear" && map.letter !== "s" ? Math.round(step * step / 255) : step);
    this.ends = map.letter === "s" ? [map.low, map.high] : [0, map.high];
  }
  level(row, column) {
    const step = this.map.step(row, column);
    return step < 0 || (step === 0 && this.map.letter === "s") ? -1 : this.levels[step];
  }
  levelOf(value) {
    const { letter, low, high } = this.map;
    if (letter === "s") return high > low ? (value - low) / (high - low) * 255 : 255;
    const share = high > 0 ? clamp(value / high, 0, 1) : 0;
    return (this.shade === "linear" ? share : Math.sqrt(share)) * 255;
  }
  // The legend: share of its length → value.
  legend(t) {
    const [low, high] = this.ends;
    return this.map.letter === "s" || this.shade === "linear" ? low + t * (high - low) : high * t * t;
  }
}
class Difference {
  constructor(a, b, shade) {
    Object.assign(this, { a, b, n: a.n, grid: a.grid, causal: a.causal && b.causal, pooled: a.pooled, ramp: "divide", shade });
    this.deltas = new Float32Array(a.grid * a.grid);
    this.most = 0;
    for (let row = 0; row < a.grid; row++) {
      for (let column = 0; column < (this.causal ? row + 1 : a.grid); column++) {
        const delta = this.delta(row, column);
        this.deltas[row * a.grid + column] = delta;
        this.most = Math.max(this.most, Math.abs(delta) || 0);
      }
    }
    this.ends = [-this.most, this.most];
  }
  delta(row, column) {
    const real = (map) => { const step = map.step(row, column); return step < 0 ? 0 : map.real(step, 255); };
    return real(this.a) - real(this.b);
  }
  level(row, column) {
    if (this.causal && column > row) return -1;
    const delta = this.deltas[row * this.grid + column];
    if (Number.isNaN(delta)) return -1;
    return this.levelOf(delta);
  }
  levelOf(delta) {
    const share = this.most > 0 ? Math.abs(delta) / this.most : 0;
    return 127.5 + Math.sign(delta) * (this.shade === "linear" ? share : Math.sqrt(share)) * 127.5;
  }
  legend(t) {
    const share = Math.abs(t - 0.5) * 2;
    return Math.sign(t - 0.5) * this.most * (this.shade === "linear" ? share : share * share);
  }
  // Where A and B differ most, for the list beside.
  largest(most) {
    const found = [];
    for (let i = 0; i < this.deltas.length; i++) {
      const size = Math.abs(this.deltas[i]);
      if (!(size > 0.005 * this.most)) continue;
      if (found.length === most && size <= found[most - 1].size) continue;
      found.push({ row: Math.floor(i / this.grid), column: i % this.grid, delta: this.deltas[i], size });
      found.sort((x, y) => y.size - x.size);
      found.length = Math.min(found.length, most);
    }
    return found;
  }
}

// The picture of a source, one pixel a cell, or `by` × `by` cells a pixel with the strongest of them.
const paintSource = (source, by) => {
  const size = Math.ceil(source.grid / by), canvas = make("canvas");
  canvas.width = canvas.height = size;
  const context = canvas.getContext("2d"), image = context.createImageData(size, size);
  const pixels = new Uint32Array(image.data.buffer), { words } = ramp(source.ramp);
  const strength = source.ramp === "divide" ? (l) => Math.abs(l - 127.5) : (l) => l;
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      let best = -1, most = -1;
      for (let row = y * by; row < Math.min(source.grid, (y + 1) * by); row++) {
        for (let column = x * by; column < Math.min(source.grid, (x + 1) * by); column++) {
          const level = source.level(row, column);
          if (level >= 0 && strength(level) > most) { best = level; most = strength(level); }
        }
      }
      if (best >= 0) pixels[y * size + x] = words[Math.round(best)];
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
};

class MapPanel {
  constructor(kind) {
    this.kind = kind;
    this.source = null;
    this.pictures = new Map();
    this.figure = make("figure", undefined, "panel");
    this.caption = make("figcaption");
    this.name = make("span", undefined, "panel-name");
    this.bar = make("canvas");
    this.barLow = make("span", undefined, "num");
    this.barHigh = make("span", undefined, "num");
    const legend = make("span", undefined, "panel-legend");
    legend.append(this.barLow, this.bar, this.barHigh);
    this.caption.append(this.name, legend);
    this.stack = make("div", undefined, "stack");
    this.base = make("canvas");
    this.over = make("canvas");
    this.over.tabIndex = 0;
    this.over.setAttribute("role", "application");
    this.over.setAttribute("aria-roledescription", "attention map");
    this.base.setAttribute("aria-hidden", "true");
    this.stack.append(this.base, this.over);
    this.message = make("p", undefined, "empty");
    this.figure.append(this.caption, this.stack, this.message);
    this.listen();
  }
  show(source, name, message) {
    if (source !== this.source) this.pictures.clear();
    this.source = source;
    this.name.replaceChildren(...(Array.isArray(name) ? name : [name]));
    this.over.setAttribute("aria-label", `${this.name.textContent}: queries down, keys across. Arrow keys move the crosshair, plus and minus zoom, 0 shows all, Enter keeps a row.`);
    this.stack.hidden = !source;
    this.message.hidden = Boolean(source);
    this.message.textContent = message ?? "";
    this.caption.hidden = !source;
  }
  layout() {
    const compact = mapPanels.filter((p) => !p.figure.hidden).length > 1;
    this.left = compact ? 66 : 96;
    this.top = compact ? 58 : 84;
    const [width, height] = mapRoom();
    this.size = Math.max(110, Math.floor(Math.min(width - this.left - 2, height - this.top - 2)));
    this.scale = this.size / camera.span;
  }
  tokens() { return (this.kind === "b" ? readingB() : readingA())?.tokens ?? []; }
  draw() {
    if (this.figure.hidden || !this.source) return;
    this.layout();
    const { left, top, size, scale, source } = this;
    const c = fit(this.base, left + size + 1, top + size + 1);
    fit(this.over, left + size + 1, top + size + 1);
    const ratio = window.devicePixelRatio || 1, cell = source.n / source.grid; // tokens a cell
    const by = Math.max(1, Math.ceil(1 / (scale * cell * ratio) - 1e-6));
    const key = `${by} ${isDark()} ${source.shade}`;
    if (!this.pictures.has(key)) {
      if (this.pictures.size > 3) this.pictures.clear();
      this.pictures.set(key, paintSource(source, by));
    }
    c.save();
    c.beginPath();
    c.rect(left, top, size, size);
    c.clip();
    c.fillStyle = ink("blank");
    c.fillRect(left, top, size, size);
    c.imageSmoothingEnabled = false;
    const exact = source.pooled && source instanceof Single && scale >= 1.5;
    if (exact) c.globalAlpha = clamp(0.5 / scale, 0.1, 0.3);
    const picture = this.pictures.get(key), token = 1 / (cell * by); // pixels of the picture a token
    c.drawImage(picture, camera.x * token, camera.y * token, camera.span * token, camera.span * token, left, top, size, size);
    c.globalAlpha = 1;
    if (exact) this.drawListed(c);
    const px = scale * (source.pooled && !exact ? cell : 1);
    if (px >= 7) {
      c.strokeStyle = ink("grid");
      c.globalAlpha = 0.7;
      c.lineWidth = 0.5;
      c.beginPath();
      for (let i = Math.ceil(camera.x); i <= camera.x + camera.span; i++) { const x = left + (i - camera.x) * scale; c.moveTo(x, top); c.lineTo(x, top + size); }
      for (let i = Math.ceil(camera.y); i <= camera.y + camera.span; i++) { const y = top + (i - camera.y) * scale; c.moveTo(left, y); c.lineTo(left + size, y); }
      c.stroke();
      c.globalAlpha = 1;
    }
    c.restore();
    c.strokeStyle = ink("line");
    c.strokeRect(left + 0.5, top + 0.5, size - 1, size - 1);
    this.drawLabels(c);
    this.drawLegend();
    this.drawCursor();
  }
  // The exact keys of a pooled map, once a token is wide enough to be seen.
  drawListed(c) {
    const { left, top, scale, source } = this, { css } = ramp(source.ramp);
    const last = Math.min(source.n, Math.ceil(camera.y + camera.span));
    for (let q = Math.floor(camera.y); q < last; q++) {
      const entries = source.map.top(q).reverse();
      for (const { key, value } of entries) {
        if (key < camera.x - 1 || key > camera.x + camera.span) continue;
        c.fillStyle = css[clamp(Math.round(source.levelOf(value)), 0, 255)];
        c.fillRect(left + (key - camera.x) * scale, top + (q - camera.y) * scale, Math.max(scale, 1.5), Math.max(scale, 1.5));
      }
    }
  }
  drawLabels(c) {
    const { left, top, size, scale } = this, tokens = this.tokens();
    const columns = this.kind === "d" ? readingA().tokens : tokens;
    const stride = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000].find((n) => n * scale >= 13) ?? 20000;
    c.font = `${clamp(scale * 0.8, 9.5, 11.5)}px ${MONO}`;
    c.textBaseline = "middle";
    const numbers = camera.n > 1 && left > 80;
    const digits = String(camera.n - 1).length * 6.4 + 4;
    const start = (from) => Math.ceil(Math.floor(from) / stride) * stride;
    for (let i = start(camera.y); i < Math.min(camera.n, camera.y + camera.span); i += stride) {
      const y = top + (i + 0.5 - camera.y) * scale;
      if (y < top || y > top + size) continue;
      c.fillStyle = ink("faint");
      c.textAlign = "left";
      if (numbers || stride > 1) c.fillText(i, 0, y);
      c.fillStyle = ink("ink");
      c.textAlign = "right";
      c.fillText(cut(c, tokens[i] ?? "", left - 7 - (numbers || stride > 1 ? digits : 0)), left - 6, y);
    }
    for (let i = start(camera.x); i < Math.min(camera.n, camera.x + camera.span); i += stride) {
      const x = left + (i + 0.5 - camera.x) * scale;
      if (x < left || x > left + size) continue;
      c.save();
      c.translate(x, top - 6);
      c.rotate(-Math.PI / 2);
      c.fillStyle = ink("ink");
      c.textAlign = "left";
      c.fillText(cut(c, (stride > 1 ? `${i} ` : "") + (columns[i] ?? ""), top - 8), 0, 0);
      c.restore();
    }
    c.font = `10px ${SANS}`;
    c.fillStyle = ink("faint");
    c.textAlign = "right";
    if (left > 80) {
      c.fillText("key →", left - 6, top - 10);
      c.fillText("query ↓", left - 6, top - 24);
    }
  }
  drawLegend() {
    const { source } = this, width = 96;
    const c = fit(this.bar, width, 8);
    for (let x = 0; x < width; x++) { c.fillStyle = rampAt(source.ramp, x / (width - 1)); c.fillRect(x, 0, 1.5, 8); }
    this.barLow.textContent = fmt(source.legend(0));
    this.barHigh.textContent = fmt(source.legend(1));
    this.bar.title = [0.25, 0.5, 0.75].map((t) => `${t * 100} %: ${fmt(source.legend(t))}`).join(", ");
  }
  drawCursor() {
    if (this.figure.hidden || !this.source) return;
    const { left, top, size, scale } = this;
    const c = fit(this.over, left + size + 1, top + size + 1);
    const row = (q, colour) => {
      const y = top + (q - camera.y) * scale;
      if (q < 0 || y > top + size || y + scale < top) return;
      const [y0, y1] = [Math.max(top, y), Math.min(top + size, y + Math.max(1, scale))];
      c.fillStyle = colour;
      c.globalAlpha = 0.16;
      c.fillRect(left, y0, size, y1 - y0);
      c.globalAlpha = 1;
      this.pill(c, q, this.tokens(), 0, (y0 + y1) / 2, false, colour);
    };
    const column = (k, colour) => {
      const x = left + (k - camera.x) * scale;
      if (k < 0 || x > left + size || x + scale < left) return;
      const [x0, x1] = [Math.max(left, x), Math.min(left + size, x + Math.max(1, scale))];
      c.fillStyle = colour;
      c.globalAlpha = 0.16;
      c.fillRect(x0, top, x1 - x0, size);
      c.globalAlpha = 1;
      this.pill(c, k, this.kind === "d" ? readingA().tokens : this.tokens(), (x0 + x1) / 2, 0, true, colour);
    };
    if (cursor.pinned >= 0 && cursor.pinned !== cursor.q) row(cursor.pinned, ink("select"));
    if (cursor.q >= 0) {
      row(cursor.q, cursor.pinned === cursor.q ? ink("select") : ink("accent"));
      column(cursor.k, ink("accent"));
      const s = Math.max(scale, 5), x = left + (cursor.k + 0.5 - camera.x) * scale - s / 2, y = top + (cursor.q + 0.5 - camera.y) * scale - s / 2;
      if (x + s > left && y + s > top && x < left + size && y < top + size) {
        c.lineWidth = 1.5;
        c.strokeStyle = ink("select");
        c.strokeRect(x, y, s, s);
      }
    }
  }
  // A label lifted out of its axis.
  pill(c, index, tokens, x, y, upright, colour) {
    const { left, top, size } = this;
    c.font = `11.5px ${MONO}`;
    c.textBaseline = "middle";
    const text = cut(c, `${index} ${tokens[index] ?? ""}`, (upright ? top : left) - 12);
    const width = c.measureText(text).width + 10;
    c.save();
    if (upright) { c.translate(clamp(x, left + 8, left + size - 8), top - 3); c.rotate(-Math.PI / 2); } else c.translate(left - 3 - width, clamp(y, top + 8, top + size - 8));
    c.fillStyle = colour;
    c.beginPath();
    c.roundRect(0, -9, width, 18, 4);
    c.fill();
    c.fillStyle = ink("card");
    c.textAlign = "left";
    c.fillText(text, 5, 0.5);
    c.restore();
  }
  cellAt(event) {
    const box = this.over.getBoundingClientRect();
    const x = (event.clientX - box.left - this.left) / this.scale, y = (event.clientY - box.top - this.top) / this.scale;
    if (x < 0 || y < 0 || x >= camera.span || y >= camera.span) return null;
    return { q: clamp(Math.floor(camera.y + y), 0, camera.n - 1), k: clamp(Math.floor(camera.x + x), 0, camera.n - 1), x: camera.x + x, y: camera.y + y };
  }
  listen() {
    const touches = new Map();
    let drag = null, pinch = null;
    this.over.addEventListener("pointermove", (event) => {
      if (touches.has(event.pointerId)) touches.set(event.pointerId, event);
      if (pinch && touches.size === 2) {
        const [p, o] = [...touches.values()], apart = Math.hypot(p.clientX - o.clientX, p.clientY - o.clientY);
        if (apart > 0) { zoomBy(pinch.apart / apart, pinch.x, pinch.y); pinch.apart = apart; }
        return;
      }
      if (drag) {
        const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
        if (drag.moved || Math.hypot(dx, dy) > 4) {
          drag.moved = true;
          hideTip();
          this.over.classList.add("dragging");
          placeCamera(drag.cx - dx / this.scale, drag.cy - dy / this.scale, camera.span);
          return;
        }
      }
      this.point(this.cellAt(event), event.clientX, event.clientY);
    });
    this.over.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      touches.set(event.pointerId, event);
      this.over.setPointerCapture(event.pointerId);
      if (touches.size === 2) {
        const [p, o] = [...touches.values()], at = this.cellAt({ clientX: (p.clientX + o.clientX) / 2, clientY: (p.clientY + o.clientY) / 2 });
        pinch = { apart: Math.hypot(p.clientX - o.clientX, p.clientY - o.clientY), x: at?.x, y: at?.y };
        drag = null;
      } else drag = { x: event.clientX, y: event.clientY, cx: camera.x, cy: camera.y, moved: false };
    });
    const release = (event) => {
      const cell = drag && !drag.moved && event.type === "pointerup" ? this.cellAt(event) : null;
      touches.delete(event.pointerId);
      drag = pinch = null;
      this.over.classList.remove("dragging");
      if (cell) pinRow(cursor.pinned === cell.q ? -1 : cell.q);
    };
    this.over.addEventListener("pointerup", release);
    this.over.addEventListener("pointercancel", release);
    this.over.addEventListener("pointerleave", () => { if (!drag) this.point(null); });
    this.over.addEventListener("wheel", (event) => {
      const at = this.cellAt(event);
      // Where there is nothing to zoom out of, the page scrolls.
      if (!at || (event.deltaY > 0 && camera.span >= camera.n)) return;
      event.preventDefault();
      hideTip();
      zoomBy(Math.exp(clamp(event.deltaY, -120, 120) * (event.ctrlKey ? 0.01 : 0.0022)), at.x, at.y);
    }, { passive: false });
    this.over.addEventListener("dblclick", () => { fitCamera(camera.n); redrawMaps(); });
    this.over.addEventListener("keydown", (event) => {
      const step = (event.shiftKey ? 8 : 1) * (this.source && camera.span > 512 ? Math.max(1, Math.round(camera.n / this.source.grid)) : 1);
      const moves = { ArrowUp: [-step, 0], ArrowDown: [step, 0], ArrowLeft: [0, -step], ArrowRight: [0, step] };
      if (event.key in moves && !event.altKey && !event.metaKey && !event.ctrlKey) {
        const [down, right] = moves[event.key];
        const q = clamp((cursor.q < 0 ? Math.floor(camera.y + camera.span / 2) : cursor.q) + down, 0, camera.n - 1);
        const k = clamp((cursor.k < 0 ? Math.floor(camera.x) : cursor.k) + right, 0, camera.n - 1);
        // The camera follows the crosshair.
        const follow = (at, from) => at < from ? at : at + 1 > from + camera.span ? at + 1 - camera.span : from;
        placeCamera(follow(k, camera.x), follow(q, camera.y), camera.span);
        const box = this.over.getBoundingClientRect();
        this.point({ q, k }, box.left + this.left + (k + 1 - camera.x) * this.scale, box.top + this.top + (q + 1 - camera.y) * this.scale);
        event.preventDefault();
        event.stopPropagation();
      } else if (event.key === "Enter" && cursor.q >= 0) {
        pinRow(cursor.pinned === cursor.q ? -1 : cursor.q);
        event.preventDefault();
        event.stopPropagation();
      }
    });
    this.over.addEventListener("blur", () => this.point(null));
  }
  point(cell, x, y) {
    if (!cell || !this.source) {
      Object.assign(cursor, { q: -1, k: -1 });
      hideTip();
    } else {
      const moved = cursor.q !== cell.q || cursor.k !== cell.k || tip.hidden;
      Object.assign(cursor, { q: cell.q, k: cell.k });
      if (moved) {
        const nodes = mapTip(cell.q, cell.k, this.kind);
        showTip(nodes, x, y);
        $("map-readout").textContent = nodes.map((n) => n.dataset.read ?? n.textContent).join(", ");
      } else showTip([...tip.childNodes], x, y);
    }
    redrawCursors();
  }
}

const mapPanels = ["a", "b", "d"].map((kind) => new MapPanel(kind));
const mapBox = $("map-view");
const differences = make("figure", undefined, "panel differences");
mapBox.append(...mapPanels.map((p) => p.figure), differences);
const mapRoom = () => {
  const panels = mapPanels.filter((p) => !p.figure.hidden).length;
  const wide = matchMedia("(min-width: 1100px)").matches;
  const height = wide ? mapBox.clientHeight : Math.max(360, innerHeight - 180);
  return panels > 1 ? [mapBox.clientWidth / 2 - 10, wide ? height / 2 - 34 : mapBox.clientWidth / 2] : [mapBox.clientWidth, height - 28];
};
// The head that was drawn last, for whoever waits for it.
const drawnMaps = { next: "", done: "" };
const redrawMaps = frame(() => {
  for (const panel of mapPanels) panel.draw();
  drawnMaps.done = drawnMaps.next;
  const whole = camera.span >= camera.n;
  $("zoom-fit").textContent = whole ? "fit" : `${(camera.n / camera.span).toFixed(camera.n / camera.span < 10 ? 1 : 0)}×`;
  $("zoom-out").disabled = whole;
  $("zoom-in").disabled = camera.span <= Math.min(camera.n, MIN_SPAN);
});
const redrawCursors = frame(() => { for (const panel of mapPanels) panel.drawCursor(); fillRow(); });
const pinRow = (q) => { cursor.pinned = q; redrawCursors(); };
const currentMaps = { a: null, b: null };

const weightText = (found) => !found ? "not visible" : present(found.value) ? (found.exact ? "" : "≈ ") + fmt(found.value) : "masked";
const rangeText = (map, token) => {
  const cell = map.cellOf(token), from = map.firstOf(cell), to = map.firstOf(cell + 1) - 1;
  return from === to ? `${from}` : `${from}–${to}`;
};
const mapTip = (q, k, kind) => {
  const { a, b } = currentMaps, main = kind === "b" ? b : a;
  const reading = kind === "b" ? readingB() : readingA();
  const rows = [["query", String(q), tokenNode(reading.tokens[q] ?? "")], ["key", String(k), tokenNode(reading.tokens[k] ?? "")]];
  const head = tipRows(rows);
  head.className = "tip-tokens";
  head.dataset.read = `query ${q} ${reading.tokens[q]}, key ${k} ${reading.tokens[k]}`;
  const what = { w: "weight", v: "α‖v‖", s: "score" }[state.quantity];
  const values = [];
  const listed = main ? main.at(q, k) : null;
  if (a && b && a.n === b.n) {
    const [va, vb] = [a.at(q, k), b.at(q, k)];
    values.push([`A ${what}`, weightText(va)], [`B ${what}`, weightText(vb)]);
    if (va && vb && present(va.value) && present(vb.value)) values.push(["A − B", signed(va.value - vb.value)]);
  } else values.push([listed?.pooled ? `largest ${what}` : what, weightText(listed)]);
  if (listed?.pooled) values.push(["of queries", rangeText(main, q)], ["and keys", rangeText(main, k)]);
  else values.push(["distance", String(q - k)]);
  const table = tipRows(values);
  table.className = "tip-values";
  const nodes = [head, table];
  if (main?.pooled) {
    const top = tipRows(main.top(q).map((e) => [String(e.key), tokenNode(reading.tokens[e.key] ?? ""), fmt(e.value)]));
    top.className = "tip-top";
    nodes.push(make("b", `top keys of query ${q}, exact`, "tip-cap"), top);
  }
  return nodes;
};
// The row under the crosshair or kept by a click, beside the map.
const fillRow = () => {
  const q = cursor.q >= 0 ? cursor.q : cursor.pinned, map = currentMaps.a;
  const panel = $("row-panel");
  panel.hidden = !map || state.view !== "map";
  if (panel.hidden) return;
  const reading = readingA();
  if (q < 0 || q >= map.n) {
    $("row-title").textContent = "Top keys of a query";
    $("row-list").replaceChildren(make("li", "Point at a row; a click keeps it.", "quiet"));
    return;
  }
  $("row-title").textContent = `Top keys of query ${q}${cursor.pinned === q ? " (kept)" : ""}`;
  $("row-list").style.setProperty("--digits", `${String(map.n - 1).length + 0.6}ch`);
  const entries = map.row(q, 8), most = Math.max(...entries.map((e) => Math.abs(e.value)), 1e-9);
  $("row-list").replaceChildren(...entries.map(({ key, value, exact }) => {
    const item = make("li");
    item.style.setProperty("--share", (map.letter === "w" ? value : Math.abs(value) / most).toFixed(3));
    item.append(make("span", String(key), "num faint"), tokenNode(reading.tokens[key] ?? ""), make("span", (exact ? "" : "≈ ") + fmt(value), "num"));
    return item;
  }));
};
// The largest differences, as a list that leads there.
const fillDifferences = (source) => {
  const tokens = readingA().tokens;
  const list = make("ol", undefined, "row-list");
  for (const { row, column, delta } of source ? source.largest(10) : []) {
    const q = Math.ceil(row * source.n / source.grid), k = Math.ceil(column * source.n / source.grid);
    const item = make("li"), button = make("button");
    button.type = "button";
    button.append(make("span", `${q} → ${k}`, "num faint"), tokenNode(`${tokens[q] ?? ""} → ${tokens[k] ?? ""}`), make("span", signed(delta), "num"));
    button.style.setProperty("--swatch", rampAt("divide", source.levelOf(delta) / 255));
    button.addEventListener("click", () => {
      const span = Math.min(source.n, Math.max(MIN_SPAN, 24 * source.n / source.grid));
      placeCamera(k - span / 2, q - span / 2, span);
      Object.assign(cursor, { q, k });
      redrawCursors();
    });
    item.append(button);
    list.append(item);
  }
  differences.replaceChildren(make("figcaption", "Largest differences"), list);
};
