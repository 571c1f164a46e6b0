// A head's curves as small figures; B is dashed beside A, what uniform attention would give is dotted.
const svgNode = (tag, attributes) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
};
const fillCurves = async () => {
  if (!state.open) return;
  const { a, b, layer, head } = state, key = `${a} ${b} ${layer} ${head}`;
  fillCurves.key = key;
  const [ofA, ofB] = await Promise.all([getCurves(a, layer, head), b >= 0 ? getCurves(b, layer, head) : []]);
  if (fillCurves.key !== key) return;
  const charts = ofA.filter(({ y }) => y).map((mine) => curveChart(mine, ofB.find((o) => o.curve.name === mine.curve.name && o.y)));
  $("curves").hidden = charts.length === 0;
  $("curve-list").replaceChildren(...charts);
};
const curveChart = ({ curve, y }, other) => {
  const W = 260, H = 104, L = 34, R = 6, T = 8, B = 20;
  const place = (v) => curve.log ? Math.log1p(Math.max(0, v)) : v;
  const xs = curve.x.map(place), lowX = Math.min(xs[0], other ? place(other.curve.x[0]) : Infinity);
  const highX = Math.max(xs[xs.length - 1], other ? place(other.curve.x.at(-1)) : -Infinity);
  const all = [...y, ...(curve.baseline ?? []), ...(other?.y ?? [])].filter(Number.isFinite);
  const top = Math.max(...all, 1e-9), bottom = Math.min(0, ...all);
  const px = (v) => L + (highX > lowX ? (v - lowX) / (highX - lowX) : 0.5) * (W - L - R);
  const py = (v) => H - B - (v - bottom) / (top - bottom || 1) * (H - B - T);
  const path = (x, values) => {
    let d = "", pen = false;
    values.forEach((v, i) => {
      if (!Number.isFinite(v)) { pen = false; return; }
      d += `${pen ? "L" : "M"}${px(place(x[i])).toFixed(1)} ${py(v).toFixed(1)}`;
      pen = true;
    });
    return d;
  };
  const figure = make("figure", undefined, "curve");
  const caption = make("figcaption");
  const value = make("span", "", "num");
  caption.append(make("span", curve.title), value);
  const svg = svgNode("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", tabindex: "0", "aria-label": `${curve.title}: ${curve.y_title} against ${curve.x_title}` });
  const text = (x, y0, content, anchor) => { const node = svgNode("text", { x, y: y0, "text-anchor": anchor }); node.textContent = content; svg.append(node); };
  svg.append(svgNode("path", { d: `M${L} ${T}V${H - B}H${W - R}`, class: "axis" }));
  text(L - 5, T + 4, fmt(top), "end");
  text(L - 5, H - B + 3, fmt(bottom), "end");
  text(L, H - 7, fmt(curve.x[0]), "middle");
  text(W - R, H - 7, count(Math.round(curve.log ? Math.expm1(highX) : highX)), "end");
  text((L + W) / 2, H - 7, curve.x_title + (curve.log ? ", log" : ""), "middle");
  if (curve.baseline) svg.append(svgNode("path", { d: path(curve.x, curve.baseline), class: "base" }));
  svg.append(svgNode("path", { d: `${path(curve.x, Array.from(y))}`, class: "line" }));
  if (other) svg.append(svgNode("path", { d: path(other.curve.x, Array.from(other.y)), class: "line other" }));
  if (xs.length <= 16) xs.forEach((x, i) => { if (Number.isFinite(y[i])) svg.append(svgNode("circle", { r: 2, class: "point", cx: px(x), cy: py(y[i]) })); });
  const mark = svgNode("circle", { r: 3, class: "dot", cx: -9, cy: -9 });
  svg.append(mark);
  let at = -1;
  const read = (i) => {
    at = clamp(i, 0, curve.x.length - 1);
    mark.setAttribute("cx", px(xs[at]));
    mark.setAttribute("cy", Number.isFinite(y[at]) ? py(y[at]) : -9);
    const base = curve.baseline ? ` · uniform ${fmt(curve.baseline[at])}` : "";
    value.textContent = `${fmt(Math.round(curve.x[at] * 100) / 100)}: ${fmt(y[at])}${base}`;
  };
  const leave = () => { at = -1; mark.setAttribute("cx", -9); value.textContent = curve.y_title; };
  leave();
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect(), x = (event.clientX - box.left) / box.width * W;
    let best = 0;
    xs.forEach((v, i) => { if (Math.abs(px(v) - x) < Math.abs(px(xs[best]) - x)) best = i; });
    read(best);
  });
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("blur", leave);
  svg.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: 1e9 };
    if (event.key in moves) { read(moves[event.key]); event.preventDefault(); event.stopPropagation(); }
  });
  figure.append(caption, svg);
  return figure;
};
on(["layer", "head", "a", "b", "open"], () => { fillCurves(); });
