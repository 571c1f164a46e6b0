// Colour: one ramp from the card's colour to the strongest contrast with it, one that runs both ways from it. Both change in
// lightness all along, so that they read without seeing hue; the second is blue against orange, the
// colours of B and A.
const STOPS = {
  light: {
    sequence: ["#f4f7fa", "#bfd8ec", "#5fa2d3", "#1c62a6", "#0a2352"],
    divide: ["#0c3a73", "#3f8ac6", "#a9cde9", "#f6f6f5", "#f2c9a0", "#d9782a", "#7a3100"],
  },
  dark: {
    sequence: ["#1b212a", "#1d4a6d", "#2388a6", "#7fcfc4", "#fbf6c8"],
    divide: ["#bfe4ff", "#45a3e0", "#24567f", "#20262e", "#7a4a24", "#f08f3f", "#ffd2a1"],
  },
};
const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const ramps = new Map();
// 256 colours, as words for an image and as text for a canvas.
const ramp = (kind) => {
  const key = `${isDark() ? "dark" : "light"} ${kind}`;
  if (!ramps.has(key)) {
    const stops = STOPS[isDark() ? "dark" : "light"][kind].map(channels);
    const words = new Uint32Array(256), css = [];
    for (let i = 0; i < 256; i++) {
      const t = i / 255 * (stops.length - 1), a = Math.min(stops.length - 2, Math.floor(t));
      const [r, g, b] = stops[a].map((c, j) => Math.round(c + (stops[a + 1][j] - c) * (t - a)));
      words[i] = (255 << 24 | b << 16 | g << 8 | r) >>> 0;
      css.push(`rgb(${r} ${g} ${b})`);
    }
    ramps.set(key, { words, css });
  }
  return ramps.get(key);
};
const rampAt = (kind, share) => ramp(kind).css[clamp(Math.round(share * 255), 0, 255)];
let inkCache = {};
const ink = (name) => inkCache[name] ??= colour(name);
// Heads in the line view: eight that also differ for colour-blind eyes, then hues between them. Numbers stand beside them.
const HEAD_INKS = {
  light: ["#0072b2", "#d55e00", "#00855f", "#a34a94", "#a87400", "#2b93c9", "#5c6470", "#9c1f45"],
  dark: ["#56b1ec", "#ff9351", "#3ccf9f", "#dd93d0", "#e7bb45", "#9ed8ff", "#aeb7c3", "#f4759a"],
};
const headInk = (head) => {
  const inks = HEAD_INKS[isDark() ? "dark" : "light"];
  if (head < inks.length) return inks[head];
  return `hsl(${(head * 137.5 + 20) % 360} ${isDark() ? "70% 70%" : "62% 40%"})`;
};
