// All heads × statistics; only the rows in view exist.
const grid = { box: $("grid"), head: $("grid-head"), body: $("grid-body"), row: 25, order: [], pool: [], cells: [] };
const COLUMN = 84, NAME = 80;

const orderHeads = () => {
  const { layers, heads } = readingA();
  grid.order = [];
  for (let l = 0; l < layers; l++) for (let h = 0; h < heads; h++) if (!filterTest || filterTest(l, h)) grid.order.push([l, h]);
  if (state.sort >= 0) {
    const value = new Map(grid.order.map((cell) => [cell, shown(...cell, state.sort)]));
    const sign = state.descending ? -1 : 1;
    // A stable sort: equals stay in the order of layers; heads without a value go last.
    grid.order.sort((x, y) => {
      const a = value.get(x), b = value.get(y);
      return (present(b) - present(a)) || (present(a) ? (a - b) * sign : 0);
    });
  } else if (!state.descending) grid.order.reverse();
  const total = layers * heads;
  grid.box.setAttribute("aria-rowcount", String(grid.order.length + 1));
  $("filter-note").textContent = grid.order.length === total ? `${count(total)} heads` : `${count(grid.order.length)} of ${count(total)}`;
};

const buildHead = () => {
  const button = (text, title, column) => {
    const cell = make("div", undefined, "grid-cell");
    cell.setAttribute("role", "columnheader");
    const press = make("button", text);
    press.type = "button";
    press.title = title;
    cell.append(press);
    const on = state.sort === column;
    cell.setAttribute("aria-sort", on ? (state.descending !== (column < 0) ? "descending" : "ascending") : "none");
    press.addEventListener("click", () => set(state.sort === column ? { descending: !state.descending } : { sort: column, descending: true }));
    return cell;
  };
  renew(grid.head, [button("head", "in the order of layers", -1), ...data.statistics.map((s, i) => button(s.title, `${s.name}: ${s.formula}`, i))]);
  const width = NAME + COLUMN * data.statistics.length;
  grid.head.style.width = grid.body.style.width = `${width}px`;
};

const poolRow = () => {
  const row = make("div", undefined, "grid-row");
  row.setAttribute("role", "row");
  const cells = [make("div", undefined, "grid-cell"), ...data.statistics.map(() => make("div", undefined, "grid-cell"))];
  cells.forEach((cell, i) => cell.setAttribute("role", i ? "gridcell" : "rowheader"));
  row.append(...cells);
  row.addEventListener("click", () => { if (row.cell) openHead(...row.cell); });
  row.addEventListener("pointerenter", () => { if (row.cell) { survey.hover = row.cell; redrawSurvey(); redrawGallery(); } });
  row.addEventListener("pointerleave", () => { survey.hover = null; redrawSurvey(); redrawGallery(); });
  grid.body.append(row);
  return { row, cells };
};
const drawGrid = () => {
  grid.body.style.height = `${grid.order.length * grid.row}px`;
  const first = Math.max(0, Math.floor((grid.box.scrollTop - 10) / grid.row) - 2);
  const wanted = Math.min(grid.order.length - first, Math.ceil(grid.box.clientHeight / grid.row) + 5);
  while (grid.pool.length < wanted) grid.pool.push(poolRow());
  const spreadsHere = data.statistics.map((_, i) => spread(i));
  grid.pool.forEach(({ row, cells }, i) => {
    const cell = i < wanted ? grid.order[first + i] : undefined;
    row.hidden = !cell;
    row.cell = cell;
    if (!cell) return;
    row.style.transform = `translateY(${(first + i) * grid.row}px)`;
    row.setAttribute("aria-rowindex", String(first + i + 2));
    const chosen = cell[0] === state.layer && cell[1] === state.head;
    row.classList.toggle("chosen", chosen);
    row.id = chosen ? "chosen-row" : "";
    row.setAttribute("aria-selected", String(chosen));
    cells[0].textContent = headName(...cell);
    for (let stat = 0; stat < data.statistics.length; stat++) {
      const value = shown(...cell, stat), { low, high } = spreadsHere[stat], td = cells[stat + 1];
      td.textContent = isDifference() ? signed(value) : fmt(value);
      td.style.setProperty("--share", present(value) && high > low ? ((value - low) / (high - low)).toFixed(3) : "0");
      td.classList.toggle("by", stat === state.sort);
    }
  });
  if (grid.order.some(([l, h]) => l === state.layer && h === state.head)) grid.box.setAttribute("aria-activedescendant", "chosen-row");
  else grid.box.removeAttribute("aria-activedescendant");
};
const redrawGrid = frame(drawGrid);
grid.box.addEventListener("scroll", redrawGrid, { passive: true });
const gridPlace = () => grid.order.findIndex(([l, h]) => l === state.layer && h === state.head);
const showRow = () => {
  const at = gridPlace();
  if (at < 0) return;
  const header = grid.head.offsetHeight, top = at * grid.row, { scrollTop, clientHeight } = grid.box;
  if (top < scrollTop) grid.box.scrollTop = top;
  else if (top + grid.row + header > scrollTop + clientHeight) grid.box.scrollTop = top + grid.row + header - clientHeight;
};
const stepRow = (by) => {
  if (!grid.order.length) return;
  const at = gridPlace();
  select(...grid.order[clamp(at < 0 ? 0 : at + by, 0, grid.order.length - 1)]);
};
grid.box.addEventListener("keydown", (event) => {
  const page = Math.max(1, Math.floor(grid.box.clientHeight / grid.row) - 2);
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -1e9, End: 1e9 };
  if (event.target === grid.box && event.key in steps) {
    stepRow(steps[event.key]);
    event.preventDefault();
    event.stopPropagation();
  }
});

const filterBox = $("filter");
const applyFilter = () => {
  const { test, error } = readFilter(filterBox.value);
  filterBox.classList.toggle("wrong", Boolean(error));
  if (error) { $("filter-note").textContent = error; return; }
  filterTest = test;
  set({ filter: filterBox.value });
};
filterBox.addEventListener("input", applyFilter);
filterBox.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    filterBox.value = "";
    applyFilter();
    survey.canvas.focus();
    event.stopPropagation();
  } else if (event.key === "Enter") {
    if (gridPlace() < 0 && grid.order.length) select(...grid.order[0]);
    grid.box.focus();
    event.preventDefault();
    event.stopPropagation();
  }
});

on(["sort", "descending", "filter", "a", "b", "show"], (changed) => {
  if (changed.has("a") || changed.has("b") || changed.has("show")) filterTest = readFilter(filterBox.value).test ?? null;
  orderHeads();
  buildHead();
  redrawGrid();
});
on(["layer", "head"], () => { showRow(); redrawGrid(); });
