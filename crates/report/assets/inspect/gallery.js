// All maps as thumbnails, layers down and heads across: the shapes of attention at a glance.
const gallery = { canvas: $("gallery"), box: $("gallery-box"), cell: 0, left: 26, top: 16, pictures: null, key: "" };

// One small canvas a reading, a thumbnail after another; drawn again when the theme changes.
const paintThumbs = (reading, bytes) => {
  const side = reading.thumb, heads = reading.heads;
  const canvas = make("canvas");
  canvas.width = side * heads;
  canvas.height = side * reading.layers;
  const context = canvas.getContext("2d");
  const { words } = ramp("sequence");
  for (const [head, place] of reading.maps.w ?? []) {
    const image = context.createImageData(side, side);
    const pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < side * side; i++) pixels[i] = words[bytes[place * side * side + i]];
    context.putImageData(image, head % heads * side, Math.floor(head / heads) * side);
  }
  return canvas;
};
const prepareThumbs = async () => {
  const r = state.a, reading = data.readings[r];
  const bytes = await getThumbs(r);
  if (r !== state.a) return;
  gallery.pictures = bytes ? paintThumbs(reading, bytes) : null;
  redrawGallery();
};
// A head's thumbnail for a tooltip.
const thumbCanvas = (layer, head) => {
  const reading = readingA();
  if (!gallery.pictures || !hasMap(reading, layer, head, "w")) return null;
  const side = reading.thumb, canvas = make("canvas");
  canvas.width = canvas.height = side;
  canvas.className = "thumb";
  canvas.getContext("2d").drawImage(gallery.pictures, head * side, layer * side, side, side, 0, 0, side, side);
  return canvas;
};

const drawGallery = () => {
  if (state.open || $("overview").hidden) return;
  const g = gallery, reading = readingA(), { layers, heads } = reading;
  const any = reading.thumb > 0;
  g.box.hidden = !any;
  if (!any) return;
  const width = g.box.clientWidth - 12;
  g.left = 14 + 7 * String(layers - 1).length;
  g.cell = clamp(Math.floor((width - g.left) / heads), 18, 92);
  const c = fit(g.canvas, g.left + g.cell * heads, g.top + g.cell * layers);
  c.font = `10px ${SANS}`;
  c.textBaseline = "middle";
  c.fillStyle = ink("soft");
  c.textAlign = "right";
  for (let l = 0; l < layers; l++) c.fillText(l, g.left - 6, g.top + (l + 0.5) * g.cell);
  c.textAlign = "center";
  for (let h = 0; h < heads; h++) c.fillText(h, g.left + (h + 0.5) * g.cell, 7);
  const gap = g.cell > 40 ? 4 : 2, side = reading.thumb, size = g.cell - gap;
  c.imageSmoothingEnabled = false;
  for (let l = 0; l < layers; l++) {
    for (let h = 0; h < heads; h++) {
      const x = g.left + h * g.cell, y = g.top + l * g.cell;
      if (!hasMap(reading, l, h, "w")) continue;
      c.globalAlpha = filterTest && !filterTest(l, h) ? 0.13 : 1;
      c.fillStyle = ink("blank");
      c.fillRect(x, y, size, size);
      if (g.pictures) c.drawImage(g.pictures, h * side, l * side, side, side, x, y, size, size);
      c.globalAlpha = 1;
      c.strokeStyle = ink("grid");
      c.strokeRect(x + 0.5, y + 0.5, size - 1, size - 1);
    }
  }
  const outline = ([l, h], colour) => {
    c.strokeStyle = colour;
    c.lineWidth = 2;
    c.strokeRect(g.left + h * g.cell - 1, g.top + l * g.cell - 1, size + 2, size + 2);
    c.lineWidth = 1;
  };
  if (survey.hover) outline(survey.hover, ink("soft"));
  outline([state.layer, state.head], ink("select"));
};
const redrawGallery = frame(drawGallery);

const galleryCell = (event) => {
  const g = gallery, box = g.canvas.getBoundingClientRect();
  const head = Math.floor((event.clientX - box.left - g.left) / g.cell), layer = Math.floor((event.clientY - box.top - g.top) / g.cell);
  const { layers, heads } = readingA();
  return head >= 0 && layer >= 0 && head < heads && layer < layers ? [layer, head] : null;
};
gallery.canvas.addEventListener("pointermove", (event) => {
  survey.hover = galleryCell(event);
  if (survey.hover) showTip(headTip(...survey.hover), event.clientX, event.clientY); else hideTip();
  redrawGallery();
  redrawSurvey();
});
gallery.canvas.addEventListener("pointerleave", () => { survey.hover = null; hideTip(); redrawGallery(); redrawSurvey(); });
gallery.canvas.addEventListener("click", (event) => { const cell = galleryCell(event); if (cell) openHead(...cell); });

// For each statistic the head that is highest.
const fillStandouts = () => {
  const { layers, heads } = readingA();
  $("standouts").replaceChildren(...data.statistics.flatMap((info, stat) => {
    let best = null;
    for (let l = 0; l < layers; l++) {
      for (let h = 0; h < heads; h++) {
        const value = valueOf(readingA(), l, h, stat);
        if (present(value) && (!best || value > best[2])) best = [l, h, value];
      }
    }
    if (!best) return [];
    const button = make("button", undefined, "standout");
    button.type = "button";
    button.title = info.higher ? `highest ${info.title}: ${info.higher}` : `highest ${info.title}`;
    button.append(make("span", info.title), make("b", headName(best[0], best[1])), make("span", fmt(best[2]), "num"));
    button.addEventListener("click", () => { set({ stat }); openHead(best[0], best[1]); });
    return [button];
  }));
};
const galleryNote = () => {
  const reading = readingA(), maps = reading.maps.w?.size ?? 0, all = reading.layers * reading.heads;
  $("gallery-note").textContent = !hasMaps(reading)
    ? "This file holds statistics only: no maps were asked for."
    : `layers down, heads across${maps < all ? `; ${count(maps)} of ${count(all)} heads have a map here` : ""}`;
};
on(["a", "theme"], () => { gallery.pictures = null; prepareThumbs(); fillStandouts(); galleryNote(); });
on(["layer", "head", "filter", "open", "show", "b"], () => redrawGallery());
