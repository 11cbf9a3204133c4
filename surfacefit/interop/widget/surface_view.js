// The browser's side of `surfacefit.view`: draws what the kernel sends, and sends back what is done.

const VIRIDIS =
  "440154 481a6c 472f7d 414487 39568c 31688e 2a788e 23888e 1f988b 22a884 35b779 54c568 7ad151 a5db36 d2e21b fde725";
const RED_BLUE = "053061 2166ac 4393c3 92c5de d1e5f0 f7f7f7 fddbc7 f4a582 d6604d b2182b 67001f";
const SHADES = 256; // of a colour map, one a value of a byte
const RESIDUAL_QUANTILE = 0.995; // of residuals within the colours, as in `result.plot()`
const CLICK_PIXELS = 4; // a pointer that moves less is a click
const DRAG_MILLISECONDS = 100; // between two messages of a drag
const LEFT = 72; // pixels for the numbers along y
const BOTTOM = 34; // pixels for the numbers along x, and its name
const TOP = 4;
const RIGHT = 10;
const SVG = "http://www.w3.org/2000/svg";

function shades(names) {
  const stops = names.split(" ").map((name) => [0, 2, 4].map((i) => parseInt(name.slice(i, i + 2), 16)));
  const found = new Uint8ClampedArray(4 * SHADES);
  for (let i = 0; i < SHADES; i++) {
    const place = (i / (SHADES - 1)) * (stops.length - 1);
    const low = Math.min(Math.floor(place), stops.length - 2);
    for (let j = 0; j < 3; j++) found[4 * i + j] = stops[low][j] + (place - low) * (stops[low + 1][j] - stops[low][j]);
    found[4 * i + 3] = 255;
  }
  return found;
}

const HEIGHTS = shades(VIRIDIS);
const RESIDUALS = shades(RED_BLUE);
const gradient = (names) => `linear-gradient(to right, ${names.split(" ").map((name) => "#" + name).join(",")})`;

function element(name, className, parent, text) {
  const found = document.createElement(name);
  if (className) found.className = className;
  if (text !== undefined) found.textContent = text;
  if (parent) parent.append(found);
  return found;
}

function shape(name, attributes, parent) {
  const found = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, value);
  if (parent) parent.append(found);
  return found;
}

/** The float32 numbers of a trait of bytes, which begin anywhere in their buffer. */
function numbers(view) {
  if (!view || !view.byteLength) return new Float32Array(0);
  return new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

/** Round numbers between two others, about so many. */
function ticks(low, high, count) {
  const rough = (high - low) / Math.max(count, 1);
  const power = Math.pow(10, Math.floor(Math.log10(rough)));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
  const decimals = Math.min(Math.max(0, -Math.floor(Math.log10(step) + 1e-9)), 12);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(i * step);
  return found.map((value) => [value, written(value, decimals)]);
}

function written(value, decimals) {
  const size = Math.abs(value);
  if (size && (size >= 1e7 || size < 1e-5)) return value.toExponential(2);
  return (value + 0).toFixed(decimals).replace(/^-(0(\.0*)?)$/, "$1");
}

const short = (value) => {
  const size = Math.abs(value);
  if (size && (size >= 1e5 || size < 1e-3)) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
};

function quantile(values, share) {
  const known = Float32Array.from(values.filter((value) => !Number.isNaN(value)), Math.abs).sort();
  return known.length ? known[Math.min(known.length - 1, Math.floor(share * known.length))] : 0;
}

/** A picture of one panel: an image or dots below, lines and ellipses above, in units of the data. */
class Panel {
  constructor(parent, title, colors) {
    this.root = element("div", "sf-panel", parent);
    this.title = element("div", "sf-title", this.root, title);
    this.stage = element("div", "", this.root);
    this.stage.style.position = "relative";
    this.image = element("canvas", "sf-image", this.stage);
    this.svg = shape("svg", {}, this.stage);
    if (colors) {
      this.scale = element("div", "sf-scale", this.root);
      this.low = element("span", "", this.scale);
      element("span", "sf-colors", this.scale).style.background = gradient(colors);
      this.high = element("span", "", this.scale);
      this.unit = element("span", "", this.scale);
    }
  }

  /** Sizes in pixels; the extent is [[low, high] of y, [low, high] of x]. */
  place(width, height, extent, downwards, names) {
    Object.assign(this, { width, height, extent, downwards });
    this.svg.setAttribute("width", LEFT + width + RIGHT);
    this.svg.setAttribute("height", TOP + height + BOTTOM);
    Object.assign(this.image.style, { left: `${LEFT}px`, top: `${TOP}px`, width: `${width}px`, height: `${height}px` });
    if (this.scale) Object.assign(this.scale.style, { marginLeft: `${LEFT}px`, width: `${width}px` });
    this.svg.replaceChildren();
    this.ground = shape("rect", { class: "sf-ground", x: LEFT, y: TOP, width, height }, this.svg);
    this.clip = `sf-${Math.random().toString(36).slice(2)}`;
    const clip = shape("clipPath", { id: this.clip }, this.svg);
    shape("rect", { x: LEFT, y: TOP, width, height }, clip);
    this.lines = shape("g", { "clip-path": `url(#${this.clip})`, "pointer-events": "none" }, this.svg);
    this.axes(names);
    this.overlay = shape("g", { "clip-path": `url(#${this.clip})` }, this.svg);
  }

  x(value) {
    const [low, high] = this.extent[1];
    return LEFT + ((value - low) / (high - low)) * this.width;
  }

  y(value) {
    const [low, high] = this.extent[0];
    const share = (value - low) / (high - low);
    return TOP + (this.downwards ? share : 1 - share) * this.height;
  }

  /** The place [y, x] of a pointer, in units of the data. */
  at(event) {
    const box = this.svg.getBoundingClientRect();
    const across = (event.clientX - box.left - LEFT) / this.width;
    const down = (event.clientY - box.top - TOP) / this.height;
    const [[bottom, top], [left, right]] = this.extent;
    return [bottom + (this.downwards ? down : 1 - down) * (top - bottom), left + across * (right - left)];
  }

  axes(names) {
    shape("rect", { class: "sf-frame", x: LEFT, y: TOP, width: this.width, height: this.height }, this.svg);
    const marks = shape("g", { "pointer-events": "none" }, this.svg);
    let count = 7;
    let across = [];
    do {
      across = ticks(...this.extent[1], count);
      count -= 1;
    } while (count > 0 && across.reduce((sum, [, text]) => sum + 7 * text.length + 12, 0) > this.width);
    for (const [value, text] of across) {
      const x = this.x(value);
      const y = TOP + this.height;
      shape("line", { class: "sf-tick", x1: x, x2: x, y1: y, y2: y + 4 }, marks);
      shape("text", { x, y: y + 15, "text-anchor": "middle" }, marks).textContent = text;
    }
    for (const [value, text] of ticks(...this.extent[0], Math.max(2, Math.min(6, this.height / 35)))) {
      const y = this.y(value);
      shape("line", { class: "sf-tick", x1: LEFT - 4, x2: LEFT, y1: y, y2: y }, marks);
      shape("text", { x: LEFT - 7, y: y + 4, "text-anchor": "end" }, marks).textContent = text;
    }
    const [along, over] = names;
    const middle = TOP + this.height / 2;
    const turned = { x: 10, y: middle, "text-anchor": "middle", transform: `rotate(-90 10 ${middle})` };
    shape("text", turned, marks).textContent = along;
    const below = { x: LEFT + this.width / 2, y: TOP + this.height + BOTTOM - 4, "text-anchor": "middle" };
    shape("text", below, marks).textContent = over;
  }

  colorRange(low, high, unit) {
    if (!this.scale) return;
    this.low.textContent = short(low);
    this.high.textContent = short(high);
    this.unit.textContent = unit || "";
  }

  /** Values (rows, columns) as an image, NaN as gaps. */
  pixels(values, [rows, columns], colors, low, high) {
    const { image, downwards } = this;
    Object.assign(image, { width: columns, height: rows });
    if (!values.length) return;
    const context = image.getContext("2d");
    const drawn = context.createImageData(columns, rows);
    const factor = SHADES / (high - low || 1);
    for (let i = 0; i < rows; i++) {
      const from = (downwards ? i : rows - 1 - i) * columns;
      for (let j = 0; j < columns; j++) {
        const value = values[from + j];
        if (Number.isNaN(value)) continue;
        const shade = 4 * Math.max(0, Math.min(SHADES - 1, Math.floor((value - low) * factor)));
        drawn.data.set(colors.subarray(shade, shade + 4), 4 * (i * columns + j));
      }
    }
    context.putImageData(drawn, 0, 0);
  }

  /** Coloured dots at shares [y..., x...] of the extent. */
  dots(places, values, colors, low, high) {
    const { image, width, height } = this;
    const zoom = window.devicePixelRatio || 1;
    Object.assign(image, { width: width * zoom, height: height * zoom });
    const context = image.getContext("2d");
    const count = values.length;
    const radius = zoom * Math.max(1.2, Math.min(4, 120 / Math.sqrt(count)));
    const factor = SHADES / (high - low || 1);
    for (let i = 0; i < count; i++) {
      const shade = 4 * Math.max(0, Math.min(SHADES - 1, Math.floor((values[i] - low) * factor)));
      context.fillStyle = `rgb(${colors[shade]},${colors[shade + 1]},${colors[shade + 2]})`;
      context.beginPath();
      context.arc(places[count + i] * image.width, (1 - places[i]) * image.height, radius, 0, 2 * Math.PI);
      context.fill();
    }
  }

  path(points) {
    return points.map(([y, x], i) => `${i ? "L" : "M"}${this.x(x).toFixed(1)} ${this.y(y).toFixed(1)}`).join("");
  }
}

/** Everything of one view in a page. */
class View {
  constructor(model, root) {
    this.model = model;
    this.root = root;
    root.classList.add("surfacefit");
    root.tabIndex = 0;
    root.dataset.lmSuppressShortcuts = "true"; // keys here are not for the notebook
    this.bar();
    this.slices = element("div", "sf-slices", root);
    this.stage = element("div", "sf-panels", root);
    this.notes = element("div", "sf-notes", root);
    this.table = element("div", "sf-table", root);
    this.drag = null;
    this.due = new Set();
    this.listeners = [
      ["change:_scene", () => this.schedule("scene")],
      ["change:_heights", () => this.schedule("images")],
      ["change:_model", () => this.schedule("images")],
      ["change:_components", () => this.schedule("components")],
      ["change:selected", () => this.schedule("components")],
      ["change:_status", () => this.schedule("status")],
    ];
    for (const [event, listener] of this.listeners) model.on(event, listener);
    root.addEventListener("keydown", (event) => this.key(event));
    this.observer = new ResizeObserver(() => this.schedule("layout"));
    this.observer.observe(root);
    this.schedule("scene", "status");
  }

  close() {
    this.observer.disconnect();
    for (const [event, listener] of this.listeners) this.model.off(event, listener);
  }

  send(message) {
    this.model.send(message);
  }

  /** What is asked for is drawn once, before the next frame of the page. */
  schedule(...what) {
    what.forEach((one) => this.due.add(one));
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      const due = this.due;
      this.due = new Set();
      const anew = due.has("scene") || (due.has("layout") && this.root.clientWidth !== this.drawnWidth);
      if (anew) this.layout();
      if (anew || due.has("images")) this.images();
      if (anew || due.has("images") || due.has("components")) this.components();
      if (due.has("status")) this.status();
    });
  }

  bar() {
    const bar = element("div", "sf-bar", this.root);
    const button = (text, title, action) => {
      const found = element("button", "", bar, text);
      found.title = title;
      found.addEventListener("click", action);
      return found;
    };
    this.number = element("input", "sf-number", bar);
    this.number.title = "number of components: auto, or a number";
    this.number.setAttribute("aria-label", this.number.title);
    this.fit = button("Fit", "fit from nothing", () => this.send({ do: "fit", k: this.number.value }));
    this.refit = button("Refit", "fit from the components shown", () => this.send({ do: "refit" }));
    this.stop = button("Stop", "end the fit with the best so far", () => this.send({ do: "stop" }));
    this.remove = button("Remove", "remove the picked component (Delete)", () => this.removePicked());
    this.undo = button("Undo", "take the last change back", () => this.send({ do: "undo" }));
    this.text = element("span", "sf-status", bar);
    this.text.setAttribute("role", "status");
  }

  status() {
    const status = this.model.get("_status");
    this.running = Boolean(status.running);
    const hint = this.running && !status.stops ? " (interrupt the kernel to end it)" : "";
    this.text.textContent = (status.text || "click a panel to add a component, drag a dot to move one") + hint;
    this.text.classList.toggle("sf-running", this.running);
    for (const one of [this.fit, this.refit]) one.disabled = this.running;
    this.stop.disabled = !this.running || !status.stops;
    this.undo.disabled = this.running || !status.undo;
    this.remove.disabled = this.running || this.model.get("selected") < 0;
    this.refit.classList.toggle("sf-due", Boolean(status.edited) && !this.running);
  }

  key(event) {
    event.stopPropagation();
    if (event.target === this.number) {
      if (event.key === "Enter" && !this.running) this.send({ do: "fit", k: this.number.value });
      return;
    }
    if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      this.removePicked();
    }
    if (event.key === "Escape") this.pick(-1);
  }

  pick(k) {
    this.model.set("selected", k);
    this.model.save_changes();
    this.schedule("components", "status");
  }

  removePicked() {
    const k = this.model.get("selected");
    if (k >= 0 && !this.running) this.send({ do: "remove", k });
  }

  layout() {
    const scene = this.model.get("_scene");
    this.stage.replaceChildren();
    this.drawnWidth = this.root.clientWidth;
    const room = Math.max(this.root.clientWidth - 12, 320);
    this.notes.textContent = (scene.notes || []).join("; ");
    if (!this.numberSet) this.number.value = scene.number;
    this.numberSet = true;
    this.slider(scene);
    this.panels = [];
    if (scene.kind === "curve") {
      this.layoutCurve(scene, room);
    } else {
      const three = room >= 720;
      const width = Math.min(three ? (room - 16) / 3 - LEFT - RIGHT : room - LEFT - RIGHT, 460);
      const height = Math.max(60, Math.min(width * scene.ratio, 480));
      for (const [title, colors] of [["data", VIRIDIS], ["model", VIRIDIS], ["residual", RED_BLUE]]) {
        const panel = new Panel(this.stage, title, colors);
        panel.place(width, height, scene.extent, scene.downwards, scene.names.slice(-2));
        this.panels.push(panel);
      }
    }
    for (const panel of this.panels) this.touch(panel);
  }

  layoutCurve(scene, room) {
    const width = Math.min(room - LEFT - RIGHT, 1000);
    const [low, high] = scene.range;
    const margin = 0.08 * (high - low);
    const upper = new Panel(this.stage, "data and model", null);
    upper.place(width, 260, [[low - margin, high + margin], scene.extent[0]], false, [scene.height, ""]);
    const lower = new Panel(this.stage, "residual", null);
    lower.place(width, 90, [[-1, 1], scene.extent[0]], false, [scene.unit, scene.names[0]]);
    this.panels = [upper, lower];
    for (const panel of this.panels) panel.image.style.display = "none";
  }

  slider(scene) {
    this.slices.style.display = scene.slices ? "" : "none";
    if (!scene.slices) return;
    const { at, values } = scene.slices;
    if (!this.range) {
      this.sliceName = element("span", "", this.slices);
      this.range = element("input", "", this.slices);
      this.range.type = "range";
      this.range.addEventListener("input", () => {
        this.model.set("_slice", Number(this.range.value));
        this.model.save_changes();
      });
    }
    this.range.max = values.length - 1;
    if (document.activeElement !== this.range) this.range.value = at;
    this.range.setAttribute("aria-label", `slice along ${scene.names[0]}`);
    this.sliceName.textContent = `${scene.names[0]} = ${short(values[at])}`;
  }

  images() {
    const scene = this.model.get("_scene");
    if (!this.panels) return;
    const data = numbers(this.model.get("_heights"));
    const model = numbers(this.model.get("_model"));
    const [low, high] = scene.range;
    if (scene.kind === "curve") {
      this.curve(scene, data, model);
      return;
    }
    const count = scene.kind === "points" ? scene.count : data.length;
    const heights = scene.kind === "points" ? data.subarray(2 * count) : data;
    const residual = heights.map((value, i) => value - model[i]);
    const limit = quantile(residual, RESIDUAL_QUANTILE) || 1;
    const [first, second, third] = this.panels;
    if (scene.kind === "points") {
      first.dots(data, heights, HEIGHTS, low, high);
      third.dots(data, residual, RESIDUALS, -limit, limit);
      second.pixels(model.subarray(count), scene.shape, HEIGHTS, low, high);
    } else {
      first.pixels(heights, scene.shape, HEIGHTS, low, high);
      second.pixels(model, scene.shape, HEIGHTS, low, high);
      third.pixels(residual, scene.shape, RESIDUALS, -limit, limit);
    }
    first.colorRange(low, high, scene.height);
    second.colorRange(low, high, scene.height);
    third.colorRange(-limit, limit, scene.unit);
  }

  curve(scene, data, model) {
    const [upper, lower] = this.panels;
    const { count, line } = scene;
    const [low, high] = scene.extent[0];
    const x = Array.from(data.subarray(0, count), (share) => low + share * (high - low));
    const residual = Array.from(data.subarray(count), (value, i) => value - model[i]);
    const limit = 1.1 * (quantile(Float32Array.from(residual), 1) || 1);
    lower.place(lower.width, lower.height, [[-limit, limit], scene.extent[0]], false, [scene.unit, scene.names[0]]);
    this.touch(lower);
    const dotted = (panel, values) =>
      values.map((value, i) => `M${panel.x(x[i]).toFixed(1)} ${panel.y(value).toFixed(1)}h0`).join("");
    const along = (i) => low + (i / (line - 1)) * (high - low);
    const drawn = (panel, values) => panel.path(Array.from(values, (value, i) => [value, along(i)]));
    this.background = Array.from(model.subarray(count + line), (value, i) => [value, along(i)]);
    upper.lines.replaceChildren();
    shape("path", { class: "sf-dots", d: dotted(upper, Array.from(data.subarray(count))) }, upper.lines);
    shape("path", { class: "sf-ground-line", d: drawn(upper, model.subarray(count + line)) }, upper.lines);
    shape("path", { class: "sf-model", d: drawn(upper, model.subarray(count, count + line)) }, upper.lines);
    shape("path", { class: "sf-dots", d: dotted(lower, residual) }, lower.lines);
    shape("path", { class: "sf-model", d: lower.path([[0, low], [0, high]]) }, lower.lines);
  }

  components() {
    const found = this.model.get("_components");
    const picked = this.model.get("selected");
    if (!this.panels || !found.shapes) return;
    const curve = this.model.get("_scene").kind === "curve";
    const panels = curve ? this.panels.slice(0, 1) : this.panels;
    for (const panel of panels) {
      panel.overlay.replaceChildren();
      found.shapes.forEach((one, k) => {
        if (one) this.component(panel, one, k, found.negative[k], k === picked, curve);
      });
    }
    this.rows(found, picked);
    this.remove.disabled = this.running || picked < 0;
  }

  component(panel, one, k, negative, picked, curve) {
    const dragged = this.drag && this.drag.k === k ? this.drag : null;
    const from = dragged ? dragged.shape : one;
    const by = dragged ? dragged.by : curve ? [0] : [0, 0];
    const group = shape("g", { class: picked ? "sf-picked" : "", "data-k": k }, panel.overlay);
    const center = curve ? this.bump(panel, group, from, by[0]) : this.ellipse(panel, group, from, by, negative);
    const handle = shape("circle", { class: "sf-handle", cx: center[0], cy: center[1], r: picked ? 6 : 4.5 }, group);
    const label = { class: curve ? "sf-curve-label" : "sf-label", x: center[0] + 7, y: center[1] - 6 };
    shape("text", { ...label, "pointer-events": "none" }, group).textContent = k;
    handle.addEventListener("pointerdown", (event) => this.grab(event, panel, one, k, curve));
    group.querySelector(".sf-hit")?.addEventListener("pointerdown", (event) => {
      event.stopPropagation();
      this.root.focus({ preventScroll: true });
      this.pick(k);
    });
  }

  ellipse(panel, group, [cy, cx, a, b, c], by, negative) {
    const points = [];
    for (let i = 0; i <= 48; i++) {
      const angle = (2 * Math.PI * i) / 48;
      const [u, v] = [Math.cos(angle), Math.sin(angle)];
      points.push([cy + by[0] + a * u, cx + by[1] + b * u + c * v]);
    }
    const d = panel.path(points);
    shape("path", { class: "sf-halo", d }, group);
    shape("path", { class: "sf-ellipse", d, ...(negative ? { "stroke-dasharray": "5 4" } : {}) }, group);
    shape("path", { class: "sf-hit", d }, group);
    return [panel.x(cx + by[1]), panel.y(cy + by[0])];
  }

  /** A component of a curve on top of the background; gives the pixel of its top. */
  bump(panel, group, [center, width, amplitude], by) {
    const ground = this.background || [];
    const top = ground.map(([y, x]) => [y + amplitude * Math.exp(-0.5 * ((x - center - by) / width) ** 2), x]);
    if (top.length) {
      shape("path", { class: "sf-part", d: panel.path([...top, ...[...ground].reverse()]) + "Z" }, group);
      shape("path", { class: "sf-hit", d: panel.path(top.filter(([, x]) => Math.abs(x - center) < 2.5 * width)) }, group);
    }
    const share = (center + by - panel.extent[1][0]) / (panel.extent[1][1] - panel.extent[1][0]);
    const near = ground[Math.max(0, Math.min(ground.length - 1, Math.round(share * (ground.length - 1))))];
    return [panel.x(center + by), panel.y((near ? near[0] : 0) + amplitude)];
  }

  rows(found, picked) {
    const old = this.table.scrollTop;
    this.table.replaceChildren();
    if (!found.rows.length) return;
    const table = element("table", "", this.table);
    const head = element("tr", "", element("thead", "", table));
    ["", ...found.columns].forEach((name) => element("th", "", head, name));
    const body = element("tbody", "", table);
    found.rows.forEach((cells, k) => {
      const row = element("tr", k === picked ? "sf-picked" : "", body);
      [k, ...cells].forEach((cell) => element("td", "", row, cell));
      row.addEventListener("click", () => this.pick(k === this.model.get("selected") ? -1 : k));
      if (k === picked) this.pickedRow = row;
    });
    if (found.more) element("div", "sf-notes", this.table, `... and ${found.more} more components`);
    this.table.scrollTop = old;
    if (picked >= 0 && picked !== this.scrolledTo && this.pickedRow) {
      const row = this.pickedRow;
      const above = row.offsetTop - 24 < this.table.scrollTop;
      const below = row.offsetTop + row.offsetHeight > this.table.scrollTop + this.table.clientHeight;
      if (above || below) this.table.scrollTop = row.offsetTop - this.table.clientHeight / 2;
    }
    this.scrolledTo = picked;
  }

  /** A click on the ground of a panel adds a component there. */
  touch(panel) {
    panel.ground.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.root.focus({ preventScroll: true });
      const start = [event.clientX, event.clientY];
      panel.ground.addEventListener(
        "pointerup",
        (end) => {
          const far = Math.hypot(end.clientX - start[0], end.clientY - start[1]) > CLICK_PIXELS;
          if (far || this.running) return;
          const at = panel.at(end);
          this.send({ do: "add", at: this.model.get("_scene").kind === "curve" ? at.slice(1) : at });
        },
        { once: true },
      );
    });
  }

  /** A drag of a component's dot moves it, with a message now and then, and one at its end. */
  grab(event, panel, one, k, curve) {
    event.stopPropagation();
    event.preventDefault();
    this.root.focus({ preventScroll: true });
    this.pick(k);
    if (this.running) return;
    const begun = panel.at(event);
    const drag = { k, shape: one, by: curve ? [0] : [0, 0], id: `${Date.now()}-${k}`, sent: 0, moved: false };
    const start = [event.clientX, event.clientY];
    const tell = () => {
      drag.sent = performance.now();
      this.send({ do: "move", k, by: drag.by, drag: drag.id });
    };
    const move = (now) => {
      drag.moved ||= Math.hypot(now.clientX - start[0], now.clientY - start[1]) > CLICK_PIXELS;
      if (!drag.moved) return;
      this.drag = drag;
      const at = panel.at(now);
      drag.by = curve ? [at[1] - begun[1]] : [at[0] - begun[0], at[1] - begun[1]];
      if (performance.now() - drag.sent > DRAG_MILLISECONDS) tell();
      this.schedule("components");
    };
    const end = () => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", end);
      if (!drag.moved) return;
      tell();
      const done = () => {
        if (this.drag === drag) this.drag = null;
        this.model.off("change:_components", done);
        this.schedule("components");
      };
      this.model.on("change:_components", done);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", end);
  }
}

function render({ model, el }) {
  const view = new View(model, element("div", "", el));
  return () => view.close();
}

export default { render };
