// The heads of a model, on canvases.
const clamp = (x, low, high) => Math.max(low, Math.min(high, x));
const present = (x) => x !== null && x !== undefined && !Number.isNaN(x);

// ---- numbers
const count = (n) => n.toLocaleString("en-US");
const fmt = (x) => {
  if (!present(x)) return "–";
  const size = Math.abs(x);
  if (Number.isInteger(x) && size < 1e6) return (x < 0 ? "−" : "") + count(size);
  if (size >= 1e6 || size < 5e-4) return x.toExponential(1).replaceAll("-", "−").replace("e+", "e");
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : size >= 0.1 ? 3 : 4;
  return x.toFixed(digits).replace("-", "−");
};
const signed = (x) => (present(x) && x > 0 ? "+" : "") + fmt(x);

// ---- base64 and deflate
const bytesOf = (text) => {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
};
const inflate = async (bytes) => {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};
const floatsOf = (text) => text === null ? null : new Float32Array(bytesOf(text).buffer);

// ---- the data, with what follows from it
for (const reading of data.readings) {
  const model = data.models[reading.model];
  reading.layers = model.layers;
  reading.heads = model.heads;
  reading.n = reading.tokens.length;
  reading.values = floatsOf(reading.values);
  reading.intervals = floatsOf(reading.intervals);
  reading.name = (data.models.length > 1 ? `${model.name} · ` : "") + reading.text;
  for (const letter of Object.keys(reading.maps)) reading.maps[letter] = new Map(reading.maps[letter].map((head, i) => [head, i]));
}
const letters = { w: "weights", v: "value-weighted", s: "scores" };
const hasMaps = (reading) => Object.values(reading.maps).some((set) => set.size > 0);
const valueOf = (reading, layer, head, stat) => {
  if (layer >= reading.layers || head >= reading.heads) return NaN;
  return reading.values[(layer * reading.heads + head) * data.statistics.length + stat];
};
const headName = (layer, head) => `L${layer} H${head}`;

// ---- theme
const root = document.documentElement;
const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

// ---- canvases: sized in CSS pixels, drawn in the screen's
const fit = (canvas, width, height) => {
  const ratio = window.devicePixelRatio || 1;
  const w = Math.max(1, Math.round(width * ratio)), h = Math.max(1, Math.round(height * ratio));
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.direction = "ltr";
  return context;
};
const MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, \"Liberation Mono\", monospace";
const SANS = "system-ui, -apple-system, \"Segoe UI\", Roboto, \"Helvetica Neue\", Arial, sans-serif";
// A label cut to the width that is there; whole characters only.
const cut = (context, text, width) => {
  if (context.measureText(text).width <= width) return text;
  const marks = [...text];
  let low = 0, high = marks.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (context.measureText(marks.slice(0, middle).join("") + "…").width <= width) low = middle; else high = middle - 1;
  }
  return marks.slice(0, low).join("") + "…";
};

// ---- drawing once a frame, however often it is asked for
const frame = (draw) => {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; draw(); });
  };
};

// ---- tooltip
const tip = $("tip");
const showTip = (nodes, x, y, leftOf = false) => {
  tip.replaceChildren(...nodes);
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = leftOf ? `${Math.max(6, x - box.width)}px` : `${Math.max(6, x + 18 + box.width > innerWidth - 6 ? x - box.width - 16 : x + 18)}px`;
  tip.style.top = `${Math.max(6, Math.min(y + 16, innerHeight - box.height - 6))}px`;
};
const hideTip = () => { tip.hidden = true; };
const tipRows = (rows) => {
  const table = make("table");
  for (const cells of rows) {
    const row = table.insertRow();
    for (const cell of cells) {
      const td = row.insertCell();
      if (cell instanceof Node) td.append(cell); else td.textContent = cell;
    }
  }
  return table;
};
const tokenNode = (text) => { const node = make("bdi", text, "token"); return node; };

// ---- making a list anew without losing the keyboard's place in it
const renew = (box, nodes) => {
  const stops = () => [...box.querySelectorAll("button")], place = stops().indexOf(document.activeElement);
  box.replaceChildren(...nodes);
  if (place >= 0) stops()[Math.min(place, stops().length - 1)]?.focus({ preventScroll: true });
};

// ---- a row of buttons of which one is on
const segments = (box, options, chosen, choose) => {
  renew(box, options.map(([value, text, title]) => {
    const button = make("button", text);
    button.type = "button";
    button.dataset.value = value;
    button.setAttribute("role", "radio");
    if (title) button.title = title;
    button.setAttribute("aria-checked", String(value === chosen));
    button.addEventListener("click", () => choose(value));
    return button;
  }));
};
