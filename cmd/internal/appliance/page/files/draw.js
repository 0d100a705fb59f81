// The elements of the page, and how figures are written.

// el makes an element.
export function el(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

function svg(tag, attributes = {}) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  return e;
}

const three = (n) => n.toLocaleString("en", { maximumSignificantDigits: 3 });

function scaled(n, base, units) {
  let i = 0;
  while (Math.abs(n) >= base * 0.9995 && i < units.length - 1) {
    n /= base;
    i++;
  }
  return `${three(n)}${units[i] && "\u202f"}${units[i]}`;
}

export const unknown = "–";
const known = (write) => (n) => (Number.isFinite(n) ? write(n) : unknown);
export const format = {
  count: known((n) => (Math.abs(n) < 1e6 ? Math.round(n).toLocaleString("en") : scaled(n, 1000, ["", "k", "M", "G", "T"]))),
  bytes: known((n) => scaled(n, 1000, ["B", "kB", "MB", "GB", "TB"])),
  rate: known((n) => `${n >= 100 && n < 1e6 ? Math.round(n).toLocaleString("en") : scaled(n, 1000, ["", "k", "M", "G"])}/s`),
  byteRate: known((n) => `${scaled(n, 1000, ["B", "kB", "MB", "GB"])}/s`),
  seconds: known((s) => (s < 1e-3 ? `${three(s * 1e6)}\u202fµs` : s < 1 ? `${three(s * 1e3)}\u202fms` : `${three(s)}\u202fs`)),
  // 100 % is all of them, so it is cut and not rounded.
  percent: known((x) => `${(Math.floor(x * 1e4 + 1e-6) / 100).toLocaleString("en", { maximumFractionDigits: 2 })}\u202f%`),
  duration: known((s) => {
    const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
    const i = Math.max(0, parts.findIndex(([n]) => s >= n));
    return parts.slice(i, i + 2).map(([n, unit], k) => `${Math.floor(k ? (s % parts[i][0]) / n : s / n)}\u202f${unit}`).join(" ");
  }),
};

// tiles is a line of single figures.
export function tiles(parent, names) {
  const line = parent.appendChild(el("div", { class: "tiles" }));
  return Object.fromEntries(Object.entries(names).map(([id, title]) => {
    const value = el("dd", { id }, unknown), note = el("dd", {}, "\u00a0");
    line.append(el("dl", { class: "tile" }, el("dt", {}, title), value, note));
    return [id, (text, about, tone = "") => {
      value.textContent = text;
      value.className = tone;
      note.textContent = about;
    }];
  }));
}

// card is a titled box; what is drawn goes into the element that it returns.
export function card(parent, title, about, kind = "") {
  const body = el("div");
  parent.append(el("section", { class: kind }, el("h2", {}, title), el("p", { class: "about" }, about), body));
  return body;
}

// table fills a box with rows of cells; an empty one says so.
export function table(body, heads, rows, empty) {
  if (!rows.length) {
    body.replaceChildren(el("p", { class: "none" }, empty));
    return;
  }
  const line = (tag, cells) => el("tr", {}, ...cells.map((c) => (c instanceof Node ? c : el(tag, {}, c))));
  body.replaceChildren(el("table", {}, el("thead", {}, line("th", heads)), el("tbody", {}, ...rows.map((r) => line("td", r)))));
}

// bar is a cell that shows a share of 1.
export function bar(share, tone = "") {
  const fill = el("i", { class: tone });
  fill.style.width = `${100 * Math.min(1, Math.max(0, share || 0))}%`;
  return el("td", { class: "bar" }, el("span", { class: "track" }, fill));
}

// span is a cell that shows from where to where, on a scale of 10 us to 10 s.
export function span(from, to) {
  const place = (s) => Math.min(1, Math.max(0, (Math.log10(s) + 5) / 6));
  const fill = el("i", { class: "good" });
  fill.style.left = `${100 * place(from)}%`;
  fill.style.width = `max(.5rem, ${100 * (place(to) - place(from))}%)`;
  return el("td", { class: "bar" }, el("span", { class: "track" }, fill));
}

// stack shows the parts of a whole, as [name, value]; each place has its colour.
export function stack(body, parts) {
  const some = parts.map(([name, n], i) => ({ name, n, tint: `tint${(i % 6) + 1}` })).filter(({ n }) => n > 0);
  const line = el("div", { class: "stack" }, ...some.map(({ n, tint }) => {
    const part = el("i", { class: tint });
    part.style.flex = `${n} 0 0`;
    return part;
  }));
  const names = some.map(({ name, n, tint }) => el("span", {}, el("i", { class: `swatch ${tint}` }), `${name} `, el("b", {}, format.count(n))));
  body.replaceChildren(line, el("p", { class: "legend" }, ...(names.length ? names : [el("span", { class: "none" }, "none")])));
}

// step is a round number, of which about four fit into max.
function step(max) {
  const power = 10 ** Math.floor(Math.log10(max / 4));
  return [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => max / n <= 4.5);
}

// chart draws lines over time: series are {name, kind}, the first with its area.
// Its update takes points [time, value] for each series, and how many seconds
// the chart is wide.
export function chart(body, series, write) {
  const legend = el("p", { class: "legend" });
  const figures = series.map((s) => {
    const figure = el("b", {}, unknown);
    legend.append(el("span", {}, el("i", { class: `swatch ${s.kind}` }), `${s.name} `, figure));
    return figure;
  });
  const picture = svg("svg", { role: "img", "aria-label": series.map((s) => s.name).join(" and ") });
  const hint = el("div", { class: "hint" });
  const frame = el("div", { class: "chart" }, picture, hint);
  body.append(legend, frame);
  let scene = null;

  function draw() {
    const width = frame.clientWidth, height = picture.clientHeight;
    if (!scene || !width) return;
    const { lines, end, seconds } = scene;
    const highest = Math.max(1e-9, ...lines.flat().map(([, v]) => v));
    const by = step(highest * 1.05), top = Math.ceil((highest * 1.05) / by) * by;
    const left = 62, right = width - 4, bottom = height - 20, ceiling = 8;
    const x = (t) => right - ((end - t) / seconds) * (right - left);
    const y = (v) => bottom - (v / top) * (bottom - ceiling);
    const parts = [];
    const text = (words, at, level, anchor) => {
      const e = svg("text", { x: at, y: level, "text-anchor": anchor });
      e.textContent = words;
      parts.push(e);
    };
    for (let v = 0; v <= top * 1.001; v += by) {
      parts.push(svg("line", { x1: left, x2: right, y1: y(v), y2: y(v) }));
      text(write(v), left - 8, y(v) + 4, "end");
    }
    const unit = seconds > 60 ? 60 : 15, apart = unit * Math.ceil((70 * seconds) / (right - left) / unit);
    for (let ago = 0; ago <= seconds; ago += apart) {
      const words = ago === 0 ? "now" : ago % 60 ? `−${ago} s` : `−${ago / 60} min`;
      text(words, x(end - ago), height - 3, ago === 0 ? "end" : ago === seconds ? "start" : "middle");
    }
    lines.forEach((points, i) => {
      if (!points.length) return;
      const d = "M" + points.map(([t, v]) => `${x(t).toFixed(1)} ${y(v).toFixed(1)}`).join("L");
      if (i === 0) parts.push(svg("path", { class: `area ${series[i].kind}`, d: `${d}L${x(points.at(-1)[0])} ${bottom}L${x(points[0][0])} ${bottom}Z` }));
      parts.push(svg("path", { class: series[i].kind, d }));
    });
    scene.x = x;
    scene.cursor = svg("line", { class: "cursor", y1: ceiling, y2: bottom });
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    picture.replaceChildren(...parts, scene.cursor);
  }

  function point(event) {
    if (!scene?.lines[0].length) return;
    const at = event.clientX - frame.getBoundingClientRect().left;
    const i = scene.lines[0].reduce((best, [t], k, all) => (Math.abs(scene.x(t) - at) < Math.abs(scene.x(all[best][0]) - at) ? k : best), 0);
    const x = scene.x(scene.lines[0][i][0]);
    hint.textContent = series.map((s, k) => `${s.name} ${write(scene.lines[k][i][1])}`).join(" · ");
    hint.style.left = `${Math.min(Math.max(0, x - hint.offsetWidth / 2), frame.clientWidth - hint.offsetWidth)}px`;
    scene.cursor.setAttribute("x1", x);
    scene.cursor.setAttribute("x2", x);
    hint.style.visibility = scene.cursor.style.visibility = "visible";
  }
  frame.addEventListener("pointermove", point);
  frame.addEventListener("pointerleave", () => {
    hint.style.visibility = "hidden";
    if (scene?.cursor) scene.cursor.style.visibility = "hidden";
  });
  new ResizeObserver(draw).observe(frame);

  return (lines, seconds) => {
    scene = { lines, seconds, end: lines[0].at(-1)?.[0] ?? 0 };
    lines.forEach((points, i) => (figures[i].textContent = points.length ? write(points.at(-1)[1]) : unknown));
    draw();
  };
}
