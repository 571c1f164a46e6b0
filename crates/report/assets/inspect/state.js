// What is shown. Whoever draws says what it depends on; a change draws what depends on it, once a frame.
const state = {
  a: 0, b: -1,                 // readings
  stat: 0, scale: "linear",    // the survey's statistic and colours
  show: "a",                   // values of the survey and the table: a, b or d (A − B)
  layer: 0, head: 0,           // the selected head
  open: false,                 // whether its map is open
  view: "map",                 // or lines
  quantity: "w", shade: "root",
  panel: "all",                // of a comparison: all, a, b, d
  sort: -1, descending: true,  // the table: column, -1 by head
  filter: "",
  theme: "",
};
const listeners = [];
const changedKeys = new Set();
const on = (keys, act) => listeners.push({ keys, act });
const settle = () => {
  const changed = new Set(changedKeys);
  changedKeys.clear();
  for (const { keys, act } of listeners) if (keys.some((key) => changed.has(key))) act(changed);
};
const set = (patch) => {
  for (const [key, value] of Object.entries(patch)) {
    if (state[key] !== value) {
      state[key] = value;
      changedKeys.add(key);
    }
  }
  if (changedKeys.size) settle();
};
const readingA = () => data.readings[state.a];
const readingB = () => state.b >= 0 ? data.readings[state.b] : null;
const sameShape = () => { const b = readingB(); return b && b.layers === readingA().layers && b.heads === readingA().heads; };
// The value that survey and table show for a head.
const shown = (layer, head, stat = state.stat) => {
  const a = () => valueOf(readingA(), layer, head, stat), b = () => valueOf(readingB(), layer, head, stat);
  if (state.b < 0 || state.show === "a") return a();
  return state.show === "b" ? b() : a() - b();
};
const shownBaseline = (stat) => {
  if (state.b >= 0 && state.show === "d") return null;
  return (state.b >= 0 && state.show === "b" ? readingB() : readingA()).baselines[stat] ?? null;
};
const isDifference = () => state.b >= 0 && state.show === "d";
// Lowest and highest of a statistic over all heads, and all its values in order, cached.
const spreads = new Map();
const spread = (stat) => {
  const key = `${state.a} ${state.b} ${state.show} ${stat}`;
  if (!spreads.has(key)) {
    const { layers, heads } = readingA();
    const values = [];
    for (let l = 0; l < layers; l++) for (let h = 0; h < heads; h++) { const v = shown(l, h, stat); if (present(v)) values.push(v); }
    values.sort((x, y) => x - y);
    spreads.set(key, { values, low: values[0] ?? 0, high: values[values.length - 1] ?? 0 });
  }
  return spreads.get(key);
};
// How many values are below: the rank of a value, from the lowest.
const below = (values, value) => {
  let low = 0, high = values.length;
  while (low < high) { const middle = (low + high) >> 1; if (values[middle] < value) low = middle + 1; else high = middle; }
  return low;
};
// "3 of 144", from the highest.
const rankOf = (stat, value) => {
  const { values } = spread(stat);
  let low = 0, high = values.length; // the first that is larger
  while (low < high) { const middle = (low + high) >> 1; if (values[middle] <= value) low = middle + 1; else high = middle; }
  return `${count(values.length - low + 1)} of ${count(values.length)}`;
};
// 0..1 for the colour of a value, and its ramp.
const shareOf = (stat, value) => {
  const { values, low, high } = spread(stat);
  if (isDifference()) {
    const most = Math.max(Math.abs(low), Math.abs(high));
    return most > 0 ? 0.5 + value / most / 2 : 0.5;
  }
  if (state.scale === "rank") return values.length > 1 ? below(values, value) / (values.length - 1) : 0.5;
  return high > low ? (value - low) / (high - low) : 0.5;
};
const rampKind = () => isDifference() ? "divide" : "sequence";
const select = (layer, head) => set({ layer, head });
const openHead = (layer, head) => set({ layer, head, open: true });
// Which heads the filter leaves; null: all. Terms: L3, H5, 3.5, name>0.3; all must hold.
const readFilter = (text) => {
  const terms = text.toLowerCase().replaceAll(/\s*(>=|<=|>|<|=)\s*/g, "$1").trim().split(/\s+/).filter(Boolean);
  const tests = [];
  for (const term of terms) {
    let m;
    if ((m = /^l(\d+)(?:\.?h(\d+))?$/.exec(term))) tests.push((l, h) => l === Number(m[1]) && (m[2] === undefined || h === Number(m[2])));
    else if ((m = /^h(\d+)$/.exec(term))) tests.push((l, h) => h === Number(m[1]));
    else if ((m = /^(\d+)[.:](\d+)$/.exec(term))) tests.push((l, h) => l === Number(m[1]) && h === Number(m[2]));
    else if ((m = /^(.+?)(>=|<=|>|<|=)(-?[\d.]+(?:e-?\d+)?)$/.exec(term))) {
      const [, name, sign, number] = m;
      const like = (s) => [s.name, s.title].some((t) => t.toLowerCase().replaceAll(" ", "").includes(name));
      let stat = data.statistics.findIndex((s) => s.name.toLowerCase() === name);
      if (stat < 0) stat = data.statistics.findIndex(like);
      if (stat < 0 || Number.isNaN(Number(number))) return { error: `no statistic “${name}”` };
      const bound = Number(number);
      const holds = { ">": (v) => v > bound, "<": (v) => v < bound, ">=": (v) => v >= bound, "<=": (v) => v <= bound, "=": (v) => Math.abs(v - bound) < 5e-4 }[sign];
      tests.push((l, h) => holds(shown(l, h, stat)));
    } else return { error: `“${term}” is not understood` };
  }
  return { test: tests.length ? (l, h) => tests.every((t) => t(l, h)) : null };
};
let filterTest = null;
