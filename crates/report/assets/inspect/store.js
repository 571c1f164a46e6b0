// Maps, decoded when they are first wanted and kept while there is room.
const KEEP_BYTES = 96 << 20;
const store = new Map(); // id → { promise, map, bytes }, in the order of use
let stored = 0;

// The block of an id; a page of a hundred megabytes may still be arriving.
const blockOf = (id) => new Promise((found) => {
  const look = () => {
    const block = $(id);
    // The last block may be half there: one that something follows is whole.
    if (block && (block.nextElementSibling || document.readyState !== "loading")) found(block);
    else if (document.readyState !== "loading") found(null);
    else setTimeout(look, 40);
  };
  look();
});

class HeadMap {
  constructor(letter, [n, grid, causal, keep, low, high], payload) {
    Object.assign(this, { letter, n, grid, causal: causal === 1, keep, low, high });
    const cells = this.causal ? grid * (grid + 1) / 2 : grid * grid;
    this.cells = payload.subarray(0, cells);
    const listed = n * keep, planes = n <= 65535 ? 2 : 4, from = cells;
    const plane = (p) => payload.subarray(from + p * listed, from + (p + 1) * listed);
    this.keys = new Uint32Array(listed);
    for (let p = 0; p < planes; p++) {
      const bytes = plane(p), shift = 2 ** (8 * p);
      for (let i = 0; i < listed; i++) this.keys[i] += bytes[i] * shift;
    }
    this.none = planes === 2 ? 0xffff : 0xffffffff;
    const lower = plane(planes), upper = plane(planes + 1);
    this.listed = new Uint16Array(listed);
    for (let i = 0; i < listed; i++) this.listed[i] = lower[i] | upper[i] << 8;
    this.pooled = grid < n;
    this.bytes = payload.length + listed * 6;
  }
  // What a step stands for: see the packer. NaN: a masked score.
  real(step, steps) {
    if (this.letter !== "s") return this.high * (step / steps) ** 2;
    return step === 0 ? NaN : this.low + (step - 1) / (steps - 1) * (this.high - this.low);
  }
  cellOf(token) { return Math.floor(token * this.grid / this.n); }
  firstOf(cell) { return Math.ceil(cell * this.n / this.grid); }
  // 0..=255, or -1 where no key is.
  step(row, column) {
    if (this.causal) return column > row ? -1 : this.cells[row * (row + 1) / 2 + column];
    return this.cells[row * this.grid + column];
  }
  // The largest keys of a row, exact.
  top(query) {
    const found = [];
    for (let rank = 0; rank < this.keep; rank++) {
      const at = rank * this.n + query;
      if (this.keys[at] === this.none) break;
      found.push({ key: this.keys[at], value: this.real(this.listed[at], 65535), exact: true });
    }
    return found;
  }
  // The same, filled up to `most` from the cells of a map that has one for every weight.
  row(query, most) {
    const found = this.top(query);
    if (this.pooled) return found;
    const listed = new Set(found.map((entry) => entry.key));
    const others = [];
    const keys = this.causal ? query + 1 : this.n;
    for (let key = 0; key < keys; key++) {
      const step = this.step(query, key);
      if (step > 0 && !listed.has(key)) others.push({ key, value: this.real(step, 255), step, exact: false });
    }
    others.sort((a, b) => b.step - a.step || a.key - b.key);
    return found.concat(others.slice(0, Math.max(0, most - found.length)));
  }
  // One weight: exact if listed, else the cell's; of a pooled map the largest of its cell.
  at(query, key) {
    if (this.causal && key > query) return null;
    for (let rank = 0; rank < this.keep; rank++) {
      const at = rank * this.n + query;
      if (this.keys[at] === key) return { value: this.real(this.listed[at], 65535), exact: true, pooled: false };
    }
    const step = this.step(this.cellOf(query), this.cellOf(key));
    if (step < 0) return null;
    return { value: this.real(step, 255), exact: false, pooled: this.pooled };
  }
}

const loadMap = async (id, letter) => {
  const block = await blockOf(id);
  if (!block) return null;
  const payload = await inflate(bytesOf(block.textContent));
  return new HeadMap(letter, block.dataset.map.split(" ").map(Number), payload);
};
const hasMap = (reading, layer, head, letter) =>
  layer < reading.layers && head < reading.heads && Boolean(reading.maps[letter]?.has(layer * reading.heads + head));
const mapId = (r, layer, head, letter) => `m${r}.${layer}.${head}.${letter}`;
const getMap = (r, layer, head, letter) => {
  const reading = data.readings[r];
  if (!reading || !hasMap(reading, layer, head, letter)) return Promise.resolve(null);
  const id = mapId(r, layer, head, letter);
  let entry = store.get(id);
  if (entry) {
    store.delete(id);
    store.set(id, entry);
    return entry.promise;
  }
  entry = { promise: null, map: null, bytes: 0 };
  entry.promise = loadMap(id, letter).then((map) => {
    entry.map = map;
    if (map) {
      entry.bytes = map.bytes;
      stored += map.bytes;
      for (const [old, oldest] of store) {
        if (stored <= KEEP_BYTES || old === id) break;
        if (!oldest.map) continue;
        stored -= oldest.bytes;
        store.delete(old);
      }
    }
    return map;
  });
  store.set(id, entry);
  return entry.promise;
};

// Thumbnails of one reading: `side`² bytes each, in the order of its maps of weights.
const thumbs = new Map();
const getThumbs = (r) => {
  if (!thumbs.has(r)) {
    thumbs.set(r, (async () => {
      const block = data.readings[r].thumb ? await blockOf(`t${r}`) : null;
      return block ? inflate(bytesOf(block.textContent)) : null;
    })());
  }
  return thumbs.get(r);
};

// Curves of one layer: for each head and curve its points.
const curveBlocks = new Map();
const getCurves = async (r, layer, head) => {
  const reading = data.readings[r];
  if (!reading.curves.length || layer >= reading.layers || head >= reading.heads) return [];
  const id = `c${r}.${layer}`;
  if (!curveBlocks.has(id)) {
    curveBlocks.set(id, (async () => {
      const block = await blockOf(id);
      return block ? new Float32Array((await inflate(bytesOf(block.textContent))).buffer) : null;
    })());
  }
  const points = await curveBlocks.get(id);
  if (!points) return [];
  let at = head * reading.curves.reduce((sum, curve) => sum + curve.x.length, 0);
  return reading.curves.map((curve) => {
    const y = points.subarray(at, at += curve.x.length);
    return { curve, y: y.every(Number.isNaN) ? null : y };
  });
};
