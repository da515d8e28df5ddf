// The page of images inside a notebook: filter and sort, a grid of tiles, one image large. All state lies in the model.

const { blend } = seewhy; // the module's own, see images_widget.py
const FILTERS = ["text", "split", "label", "prediction", "right", "sort"];
const LOOK = ["map", "colours", "scale", "opacity"];
const CODES = { right: 1, wrong: 0, unknown: -1 };
const COLOURS = ["heat", "jet", "signed"]; // the order of their bytes
const COLOUR_WORDS = { heat: "dark to light", jet: "JET", signed: "against and for" };
const TABLE_BYTES = 256 * 3;
const LARGE = 360; // pixels of a large picture's short side, at least
const SOON = 150; // milliseconds until the kernel is told of what changes many times a second
const HYPOTHESIS =
  "A map is a hypothesis: whether the decision depends on a place is tested by changing that place, with seewhy.audit.";

/** An element with attributes and children; words are always text, never markup. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

function number(value) {
  return Number.isFinite(value) ? String(Number(value.toPrecision(3))).replace("-", "−") : "not known";
}

function percent(share) {
  if (!Number.isFinite(share)) return "";
  if (share > 0.9995) return "over 99.9 %";
  return share < 0.0005 ? "under 0.1 %" : `${(share * 100).toFixed(1)} %`;
}

const bytesOf = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

/** What the model holds of the images, with the bytes that its places point into. */
function dataOf(model) {
  const [pictures, maps, tables] = ["pictures", "maps", "tables"].map((name) => bytesOf(model.get(name)));
  const piece = (bytes, [start, end]) => bytes.slice(start, end); // with a buffer of its own, as blend takes it
  return {
    table: model.get("table"),
    picture: (entry) => entry.t && new Blob([piece(pictures, entry.t)], { type: "image/jpeg" }),
    map: (entry, which) => {
      const kept = entry.m[which];
      return kept && { ...kept, d: piece(maps, kept.d), ...(kept.n ? { n: piece(maps, kept.n) } : {}) };
    },
    colours: (name) => piece(tables, [0, TABLE_BYTES].map((at) => at + TABLE_BYTES * Math.max(0, COLOURS.indexOf(name)))),
  };
}

/** The places of the images that pass the filters, in their order; the same as `shown` in widget_data.py. */
function selected(table, state) {
  const tests = [];
  for (const name of ["split", "label", "prediction"]) {
    if (state[name]) tests.push((place) => table[name][place] === state[name]);
  }
  if (state.right) tests.push((place) => table.correct[place] === CODES[state.right]);
  const text = state.text.trim().toLowerCase();
  if (text) tests.push((place) => table.ids[place].toLowerCase().includes(text));
  const places = table.ids.map((_, place) => place).filter((place) => tests.every((test) => test(place)));
  const sign = state.sort.startsWith("-") ? -1 : 1;
  const name = state.sort.replace(/^-/, "");
  if (!name) return sign < 0 ? places.reverse() : places;
  const values = name === "name" ? table.ranks : table[name];
  const known = places.filter((place) => values[place] !== null);
  known.sort((a, b) => sign * (values[a] - values[b]) || a - b);
  return [...known, ...places.filter((place) => values[place] === null)];
}

/** A canvas with the photograph, its short side at least `least` pixels; grey where there is none. */
async function photographOn(canvas, data, entry, least) {
  const factor = Math.max(1, least / Math.min(entry.w, entry.h));
  [canvas.width, canvas.height] = [Math.round(entry.w * factor), Math.round(entry.h * factor)];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#808080";
  context.fillRect(0, 0, canvas.width, canvas.height);
  const blob = data.picture(entry);
  if (blob) {
    const bitmap = await createImageBitmap(blob);
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
  }
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** Draw a map of an image over its photograph, as the model says. */
function draw(canvas, photograph, data, entry, which, state) {
  const [map, isSigned] = [data.map(entry, which), state.colours === "signed"];
  const peak = state.scale === "common" ? data.table.maps[which].top : null;
  const look = { colours: data.colours(state.colours), isSigned, opacity: state.opacity, peak };
  const { width, height } = photograph;
  const drawn = blend.overlay(photograph.data, width, height, map, look, entry.r);
  canvas.getContext("2d").putImageData(new ImageData(drawn, width, height), 0, 0);
}

/** A control with its name, and what to do when a hand changes it. */
function control(name, words, element, onInput) {
  element.setAttribute("name", name);
  element.addEventListener("input", () => onInput(element));
  return make("label", { class: `seewhy-of-${name}` }, make("span", {}, words), element);
}

function select(options) {
  return make("select", {}, ...options.map(([value, words]) => make("option", { value }, words)));
}

const anyOf = (values) => [["", "all"], ...values.map((value) => [value, value])];

function render({ model, el }) {
  const data = dataOf(model);
  const { table } = data;
  const stateOf = () => Object.fromEntries([...FILTERS, ...LOOK, "row"].map((name) => [name, model.get(name)]));
  const mapOf = (state) => Math.max(0, table.maps.findIndex((map) => map.name === state.map));
  const placeOf = (row) => table.rows.indexOf(row);
  let order = [];
  let timer = 0;

  const put = (name, value) => {
    model.set(name, value);
    clearTimeout(timer);
    timer = setTimeout(() => model.save_changes(), SOON);
  };

  // ---------------------------------------------------------------------------------------------- controls
  const word = (element) => put(element.name, element.value);
  const controls = make("div", { class: "seewhy-controls", role: "group", "aria-label": "Filter, order and drawing" });
  controls.append(
    control("text", "Text in the name", make("input", { type: "search", maxlength: "200", spellcheck: "false" }), word),
    ...[["split", "Split"], ["label", "Label"], ["prediction", "Prediction"]]
      .filter(([name]) => table.choices[name].length)
      .map(([name, words]) => control(name, words, select(anyOf(table.choices[name])), word)),
    ...(table.correct.some((code) => code >= 0) ? [control("right", "Right or wrong",
      select([["", "all"], ["right", "right"], ["wrong", "wrong"], ["unknown", "not known"]]), word)] : []),
    control("sort", "Order", select([
      ["", "as in the run"], ["-", "the other way round"], ["name", "name, A to Z"], ["-name", "name, Z to A"],
      ["probability", "probability, lowest first"], ["-probability", "probability, highest first"],
    ]), word),
  );
  if (table.maps.length) {
    controls.append(
      control("map", "Map", select(table.maps.map(({ name }) => [name, name])), word),
      control("colours", "Colours", select(COLOURS.map((name) => [name, COLOUR_WORDS[name]])), word),
      control("scale", "Scale", select([["", "each map by its own peak"], ["common", "one scale for all images"]]), word),
      control("opacity", "Opacity", make("input", { type: "range", min: "0", max: "1", step: "0.05" }),
        (element) => put("opacity", Number(element.value))),
    );
  }

  // ---------------------------------------------------------------------------------------------- tiles
  const count = make("p", { class: "seewhy-count", role: "status" });
  const empty = make("p", { class: "seewhy-empty" }, "No image passes these filters.");
  const grid = make("div", { class: "seewhy-grid", role: "list", "aria-label": "Images" });
  const legend = make("div", { class: "seewhy-legend" });
  const tiles = table.ids.map((_, place) => makeTile(place));

  function wordsOf(place) {
    if (table.error[place] !== null) return [table.error[place]];
    const prediction = table.prediction[place];
    const decided = prediction === null ? "no class predicted" : `${prediction} ${percent(table.probability[place])}`;
    const label = table.label[place];
    return [decided.trim(), ...(label === null ? [] : [table.correct[place] === 0 ? `but is ${label}` : `label ${label}`])];
  }

  function verdictOf(place) {
    if (table.error[place] !== null) return "unreadable";
    return ["unknown", "wrong", "right"][table.correct[place] + 1];
  }

  function makeTile(place) {
    const [entry, id] = [table.entries[place], table.ids[place]];
    const canvas = make("canvas", { width: entry.w, height: entry.h, role: "img", "aria-label": `Picture of ${id}` });
    const badge = { wrong: "✗ wrong", unreadable: "⊘ no result" }[verdictOf(place)];
    const button = make("button", { type: "button", title: id }, canvas, make("span", { class: "seewhy-name" },
      make("bdi", {}, id)), ...wordsOf(place).map((words) => make("span", {}, words)),
      badge ? make("span", { class: "seewhy-badge" }, badge) : null);
    button.addEventListener("click", () => put("row", table.rows[place]));
    const element = make("div", { class: "seewhy-tile", role: "listitem", "data-row": table.rows[place],
      "data-verdict": verdictOf(place) }, button);
    return { place, entry, element, canvas, photograph: null, isSeen: false, isStale: true };
  }

  async function fill(tile) {
    const photograph = tile.photograph ?? (await photographOn(tile.canvas, data, tile.entry, 0));
    if (!tile.isSeen) return;
    tile.photograph = photograph;
    drawTile(tile);
  }

  function drawTile(tile) {
    const state = stateOf();
    if (table.maps.length) draw(tile.canvas, tile.photograph, data, tile.entry, mapOf(state), state);
    tile.element.dataset.drawn = "1";
    tile.isStale = false;
  }

  const byElement = new Map(tiles.map((tile) => [tile.element, tile]));
  const observer = new IntersectionObserver((changes) => {
    for (const { target, isIntersecting } of changes) {
      const tile = byElement.get(target);
      tile.isSeen = isIntersecting;
      if (!isIntersecting) tile.photograph = null; // the drawing stays; its pixels are made again when they are needed
      else if (tile.isStale) fill(tile);
    }
  }, { root: grid, rootMargin: "120px" });
  for (const tile of tiles) observer.observe(tile.element);

  // ---------------------------------------------------------------------------------------------- one image, large
  const large = make("section", { class: "seewhy-large", "aria-label": "One image" });
  const title = make("h3");
  const told = make("p");
  const figures = make("div", { class: "seewhy-figures" });
  const buttons = [["Previous", -1], ["Next", 1]].map(([words, by]) => {
    const button = make("button", { type: "button" }, words);
    button.addEventListener("click", () => step(by));
    return button;
  });
  const close = make("button", { type: "button" }, "Close");
  close.addEventListener("click", () => put("row", null));
  large.append(make("div", { class: "seewhy-bar" }, title, ...buttons, close), told, figures,
    ...(table.maps.length ? [make("p", { class: "seewhy-hypothesis" }, HYPOTHESIS)] : []));
  let drawings = []; // of the maps of the image that is large
  let opened = -1;

  function step(by) {
    const at = order.indexOf(placeOf(model.get("row"))) + by;
    if (order[at] !== undefined) put("row", table.rows[order[at]]);
  }

  function captionOf(map, which) {
    if (!map) return "no map";
    const peak = map.e ? `nothing drawn: ${map.e}` : `raw maximum ${number(map.hi)}`;
    return `${table.maps[which].name}: ${peak}`;
  }

  async function showLarge() {
    const place = placeOf(model.get("row"));
    large.hidden = place < 0;
    if (place < 0) {
      opened = -1;
      return;
    }
    const at = order.indexOf(place);
    [buttons[0].disabled, buttons[1].disabled] = [at <= 0, at < 0 || at === order.length - 1];
    if (place === opened) return;
    opened = place;
    const entry = table.entries[place];
    title.textContent = table.ids[place];
    told.textContent = wordsOf(place).join(" · ");
    const names = ["The picture", ...entry.m.map((map, which) => captionOf(map, which))];
    const canvases = names.map((name) => make("canvas", { role: "img", "aria-label": name }));
    figures.replaceChildren(...canvases.map((canvas, which) =>
      make("figure", {}, canvas, make("figcaption", {}, names[which]))));
    drawings = [];
    const photographs = await Promise.all(canvases.map((canvas) => photographOn(canvas, data, entry, LARGE)));
    if (opened !== place) return;
    drawings = entry.m.map((_, which) => ({ canvas: canvases[which + 1], photograph: photographs[which + 1], entry, which }));
    redrawLarge();
  }

  function redrawLarge() {
    const state = stateOf();
    for (const { canvas, photograph, entry, which } of drawings) draw(canvas, photograph, data, entry, which, state);
    large.dataset.drawn = String(opened);
  }

  // ---------------------------------------------------------------------------------------------- the model's changes
  function showControls() {
    for (const element of controls.querySelectorAll("[name]")) {
      const value = String(model.get(element.name));
      if (element.value !== value) element.value = value;
    }
  }

  function showOrder() {
    order = selected(table, stateOf());
    grid.replaceChildren(...order.map((place) => tiles[place].element));
    grid.hidden = order.length === 0;
    empty.hidden = order.length > 0;
    count.textContent = `${order.length.toLocaleString("en")} of ${table.ids.length.toLocaleString("en")} images`;
    showControls();
    showLarge();
  }

  function showLegend() {
    const state = stateOf();
    const colours = data.colours(state.colours);
    const bar = new ImageData(256, 1);
    bar.data.forEach((_, at) => { bar.data[at] = at % 4 === 3 ? 255 : colours[(at >> 2) * 3 + (at % 4)]; });
    const canvas = make("canvas", { width: 256, height: 1, "aria-hidden": "true" });
    canvas.getContext("2d").putImageData(bar, 0, 0);
    const peak = state.scale === "common" ? `${number(table.maps[mapOf(state)].top)} or more` : "the map's own peak";
    const words = state.colours === "signed" ? ["lowers the score", "0", `raises it: ${peak}`]
      : ["adds nothing, or lowers", `adds most: ${peak}`];
    legend.replaceChildren(canvas, make("p", {}, ...words.map((one) => make("span", {}, one))));
  }

  let frame = 0;
  function showLook() {
    showControls();
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => {
      for (const tile of tiles) tile.isStale = true;
      for (const tile of tiles) if (tile.isSeen) tile.photograph ? drawTile(tile) : fill(tile);
      redrawLarge();
      showLegend();
    });
  }

  const listening = [...FILTERS.map((name) => [name, showOrder]), ["row", showLarge],
    ...(table.maps.length ? LOOK.map((name) => [name, showLook]) : [])];
  for (const [name, work] of listening) model.on(`change:${name}`, work);

  const root = make("div", { class: "seewhy-widget" }, make("p", { class: "seewhy-said" }, table.said), controls,
    ...(table.maps.length ? [legend] : []), count, large, empty, grid);
  el.append(root);
  showOrder();
  if (table.maps.length) showLegend();

  return () => {
    for (const [name, work] of listening) model.off(`change:${name}`, work);
    observer.disconnect();
    clearTimeout(timer);
    cancelAnimationFrame(frame);
  };
}

export default { render };
