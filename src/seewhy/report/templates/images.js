// The page of all images: which are shown and in what order, the tiles in the window, the large view, the table as CSV.
"use strict";

(() => {
  const KEY = document.currentScript.nonce; // what scripts of this page must bear
  const KEPT_CHUNKS = 12; // pictures files in memory; a tile keeps what it shows
  const AT_ONCE = 4; // files on their way
  const LEAST = 512; // pixels of a large picture's short side
  const FILTERS = ["text", "split", "label", "prediction", "right", "finding", "warning", "error"];
  const CODED = ["split", "label", "prediction", "warning", "error"];
  const VIEW = ["sort", "map", "colours", "opacity", "scale", "size", "image", "row"];
  const PARTS_OF_MAP = ["method", "layer", "score"];
  const VERDICTS = new Map([["right", 1], ["wrong", 0], ["unknown", -1]]);
  const DEFAULTS = { ...Object.fromEntries([...FILTERS, ...VIEW].map((name) => [name, ""])), size: "176" };
  const { blend } = seewhy;
  const part = (id) => document.getElementById(id);

  let table = null;
  let state = { ...DEFAULTS };
  let order = new Uint32Array(0); // the rows of the table that are shown, in their order
  let active = 0; // the place in `order` that the keyboard is at

  // ------------------------------------------------------------------------------------------------ words
  function make(name, attributes, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  const grouped = (count) => count.toLocaleString("en");
  const worded = (name, row) => table[name].values[table[name].codes[row]] ?? null;
  const verdict = (row) => (table.correct[row] < 0 ? "unknown" : table.correct[row] ? "right" : "wrong");

  function number(value) {
    return Number.isFinite(value) ? String(Number(value.toPrecision(3))).replace("-", "−") : "not known";
  }

  function percent(share) {
    if (!Number.isFinite(share)) return "not known";
    if (share > 0.9995 && share < 1) return "over 99.9 %";
    return share > 0 && share < 0.0005 ? "under 0.1 %" : `${(share * 100).toFixed(1)} %`;
  }

  const probability = (row) => percent(Math.min(table.probability[row], 0.99999)); // 1 is what rounding made of it

  /** A link, as long as it leads to a file like this one: a name may look like javascript:…; else the words alone. */
  function link(words, href, title) {
    const anchor = make("a", { href, title }, words);
    return anchor.protocol === location.protocol ? anchor : words;
  }

  // ------------------------------------------------------------------------------------------------ which images
  function prepare(given) {
    const floats = (values) => Float64Array.from(values, (value) => value ?? NaN);
    table = given;
    for (const name of CODED) table[name].codes = Int32Array.from(table[name].codes);
    table.probability = floats(table.probability);
    table.correct = Int8Array.from(table.correct);
    for (const region of table.regions) region.shares = floats(region.shares);
    for (const finding of table.findings) [finding.changes, finding.flips] = [floats(finding.changes), floats(finding.flips)];
    table.lower = table.ids.map((id) => id.toLowerCase());
    table.rowOf = new Map();
    table.ids.forEach((id, row) => table.rowOf.has(id) || table.rowOf.set(id, row));
    table.tables = new Map(Object.entries(table.colours).map(([name, text]) => [name, blend.bytes(text)]));
    const { compare } = new Intl.Collator("en", { numeric: true });
    table.ranks = new Float64Array(table.n);
    const byName = Uint32Array.from(table.ids.keys()).sort((a, b) => compare(table.ids[a], table.ids[b]) || a - b);
    byName.forEach((row, rank) => { table.ranks[row] = rank; });
  }

  const findingOf = (factor) => table.findings.find((finding) => finding.factor === factor);

  /** One test of a row for each filter that is set; a name that is not in the table passes no row. */
  function tests() {
    const found = [];
    for (const name of CODED.filter((one) => state[one])) {
      const { codes, values } = table[name];
      const code = values.indexOf(state[name]);
      if (code >= 0) found.push((row) => codes[row] === code);
      else found.push((row) => (codes[row] < 0 ? state[name] === "none" : state[name] === "any"));
    }
    if (state.right) found.push((row) => table.correct[row] === VERDICTS.get(state.right));
    const flips = findingOf(state.finding)?.flips;
    if (state.finding) found.push((row) => flips?.[row] > 0);
    const text = state.text.trim().toLowerCase();
    if (text) found.push((row) => table.lower[row].includes(text));
    return found;
  }

  /** What a sort goes by: {values, say: its words for one value}; null for the table's own order. */
  function sortKey() {
    const [kind, ...rest] = state.sort.replace(/^-/, "").split(":");
    const name = rest.join(":");
    const [region, finding] = [table.regions.find((one) => one.name === name), findingOf(name)];
    if (kind === "name") return { values: table.ranks, say: null };
    if (kind === "probability") return { values: table.probability, say: null };
    if (kind === "share" && region) return { values: region.shares, say: (value) => `${percent(value)} in ${name}` };
    if (kind === "change" && finding) return { values: finding.changes, say: (value) => `moved ${number(value)} logits` };
    if (kind === "flips" && finding) return { values: finding.flips, say: (value) => `flipped in ${percent(value)}` };
    return null;
  }

  /** The rows that pass all filters, in the order asked for; those without a value come last either way. */
  function selected() {
    const passing = tests();
    const found = Uint32Array.from(table.ids.keys()).filter((row) => passing.every((test) => test(row)));
    const direction = state.sort.startsWith("-") ? -1 : 1;
    const values = sortKey()?.values;
    if (!values) return direction < 0 ? found.reverse() : found;
    const known = found.filter((row) => !Number.isNaN(values[row]));
    const unknown = found.filter((row) => Number.isNaN(values[row]));
    known.sort((a, b) => direction * (values[a] - values[b]) || a - b);
    found.set(known);
    found.set(unknown, known.length);
    return found;
  }

  // ------------------------------------------------------------------------------------------------ the address
  function addressOfState() {
    const changed = Object.entries(state).filter(([name, value]) => value !== DEFAULTS[name]);
    return `#${new URLSearchParams(changed)}`;
  }

  const isNewAddress = () => addressOfState() !== (location.hash || "#");

  function remember() {
    clearTimeout(remember.timer);
    if (isNewAddress()) history.pushState(null, "", addressOfState());
  }

  /** As `remember`, for what changes many times a second, and without a step for the back button. */
  function rememberSoon() {
    clearTimeout(remember.timer);
    remember.timer = setTimeout(() => isNewAddress() && history.replaceState(null, "", addressOfState()), 150);
  }

  /** Show what the address says. */
  function follow() {
    const given = new URLSearchParams(location.hash.slice(1));
    state = { ...DEFAULTS };
    for (const name of Object.keys(DEFAULTS)) state[name] = given.get(name) ?? DEFAULTS[name];
    showState();
    select();
    const row = state.row ? Number(state.row) : table.rowOf.get(state.image);
    if (state.image && table.ids[row] === state.image) openLarge(row);
    else closeLarge();
  }

  /** Two files can have one name as people see it, so the row is told where it is not the first of that name. */
  function setImage(row) {
    state.image = table.ids[row] ?? "";
    state.row = state.image && table.rowOf.get(state.image) !== row ? String(row) : "";
  }

  // ------------------------------------------------------------------------------------------------ pictures as needed
  const chunks = new Map(); // number -> entries, the longest unused first
  const coming = new Set();
  const missing = new Set();
  const chunkOf = (row) => Math.floor(row / table.chunk);

  /** What a pictures file says of a row; undefined while the file is not here. */
  function entryOf(row) {
    const entries = chunks.get(chunkOf(row));
    if (entries && chunks.delete(chunkOf(row))) chunks.set(chunkOf(row), entries);
    return entries?.[row % table.chunk];
  }

  /** Ask for the files that the tiles in the window, and the large view, still need. */
  function request() {
    const rows = [...tiles.values()].filter((tile) => !tile.entry).map((tile) => tile.row);
    if (large.row !== null && !large.entry) rows.unshift(large.row);
    const needed = [...new Set(rows.map(chunkOf))].filter((one) => !coming.has(one) && !missing.has(one) && !chunks.has(one));
    for (const chunk of needed.slice(0, AT_ONCE - coming.size)) load(chunk);
  }

  function load(chunk) {
    const script = make("script", { src: `data/pictures-${String(chunk).padStart(4, "0")}.js` });
    const done = () => {
      coming.delete(chunk);
      script.remove();
      if (!chunks.has(chunk)) missing.add(chunk);
      for (const tile of tiles.values()) if (!tile.entry && chunkOf(tile.row) === chunk) fill(tile);
      if (large.row !== null && !large.entry && chunkOf(large.row) === chunk) showLarge();
      while (chunks.size > KEPT_CHUNKS) chunks.delete(chunks.keys().next().value);
      request();
    };
    script.nonce = KEY;
    script.addEventListener("load", done);
    script.addEventListener("error", done);
    coming.add(chunk);
    document.head.append(script);
  }

  // ------------------------------------------------------------------------------------------------ drawing
  const mapNumber = () => Math.max(0, table.maps.findIndex((map) => map.name === state.map));
  const colourName = () => (table.tables.has(state.colours) ? state.colours : table.bold);
  const opacityPercent = () => (state.opacity === "" ? Math.round(table.opacity * 100) : Number(state.opacity));

  /** A canvas with the entry's photograph, its short side at least `least` pixels; grey where there is none. */
  async function photograph(entry, least, label) {
    const [width, height] = entry.t ? [entry.w, entry.h] : [64, 64];
    const factor = Math.max(1, least / Math.min(width, height));
    const size = { width: Math.round(width * factor), height: Math.round(height * factor) };
    const context = make("canvas", { role: "img", "aria-label": label, ...size }).getContext("2d", { willReadFrequently: true });
    context.fillStyle = "#808080";
    context.fillRect(0, 0, size.width, size.height);
    if (entry.t?.startsWith("data:image/")) {
      const image = Object.assign(new Image(), { src: entry.t });
      await image.decode();
      context.imageSmoothingQuality = "high";
      context.drawImage(image, 0, 0, size.width, size.height);
    }
    return { context, pixels: context.getImageData(0, 0, size.width, size.height) };
  }

  /** Draw a map of the entry over its photograph, as the controls say. */
  function draw({ context, pixels: { data, width, height } }, entry, which) {
    const peak = state.scale === "common" ? table.maps[which].top : null;
    const look = { colours: table.tables.get(colourName()), isSigned: colourName() === "signed", opacity: opacityPercent() / 100, peak };
    const drawn = blend.overlay(data, width, height, entry.m[which], look, entry.r);
    context.putImageData(new ImageData(drawn, width, height), 0, 0);
  }

  /** A bar of the colours with words at both ends, into `place`; `common` says the peak of the common scale. */
  function showLegend(place, common) {
    const colours = table.tables.get(colourName());
    const bar = new ImageData(256, 1);
    bar.data.forEach((_, at) => { bar.data[at] = at % 4 === 3 ? 255 : colours[(at >> 2) * 3 + (at % 4)]; });
    const canvas = make("canvas", { width: 256, height: 1, "aria-hidden": "true" });
    canvas.getContext("2d").putImageData(bar, 0, 0);
    const peak = state.scale === "common" ? common : "the map's own peak";
    const isSigned = colourName() === "signed";
    const words = isSigned ? ["lowers the score", "0", `raises it: ${peak}`] : ["adds nothing, or lowers", `adds most: ${peak}`];
    place.replaceChildren(canvas, make("p", {}, ...words.map((word) => make("span", {}, word))));
  }

  function redraw() {
    for (const tile of tiles.values()) if (tile.drawing) draw(tile.drawing, tile.entry, mapNumber());
    large.drawings.forEach((drawing, which) => draw(drawing, large.entry, which));
    const top = `${number(table.maps[mapNumber()].top)} or more`;
    showLegend(part("legend"), top);
    showLegend(part("large-legend"), table.maps.length === 1 ? top : "as much as the strongest such maps of all images");
  }

  /** The same work once in the next frame, however often it is asked for. */
  function inNextFrame(work) {
    let frame = 0;
    return () => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(work);
    };
  }
  const redrawSoon = inNextFrame(() => table.maps.length && redraw());

  // ------------------------------------------------------------------------------------------------ tiles in the window
  const grid = part("grid");
  const lines = new Map(); // number of a line of tiles -> its element
  let tiles = new Map(); // row of the table -> tile; only those in the window exist
  let former = new Map(); // the tiles before they were laid anew, whose drawings can be kept
  let across = 1;
  let lineHeight = 200;

  function makeTile(place) {
    const row = order[place];
    const isUnreadable = worded("error", row) !== null;
    const box = make("div", { class: "images-picture" }, ...badge(row));
    const element = make("div", {
      class: "images-tile", role: "gridcell", tabindex: place === active ? 0 : -1, "aria-colindex": (place % across) + 1,
      "data-place": place, "data-verdict": isUnreadable ? "unreadable" : verdict(row), title: table.ids[row],
    }, box, make("span", { class: "images-name" }, make("bdi", {}, table.ids[row])), ...(isUnreadable ? [] : facts(row)));
    const { entry, drawing } = former.get(row) ?? {};
    const tile = { row, element, box, entry: drawing && entry, drawing };
    tiles.set(row, tile);
    if (drawing) showDrawing(tile);
    else fill(tile);
    return element;
  }

  function badge(row) {
    const warning = worded("warning", row) === null ? "" : "△ warning";
    const words = worded("error", row) !== null ? "⊘ unreadable" : table.correct[row] === 0 ? `✗ wrong ${warning}` : warning;
    return words ? [make("span", { class: "images-badge" }, words)] : [];
  }

  /** Two lines under the name: the prediction, the label, and what the images are sorted by. */
  function facts(row) {
    const [label, prediction, key] = [worded("label", row), worded("prediction", row), sortKey()];
    const sorted = key?.say && !Number.isNaN(key.values[row]) ? key.say(key.values[row]) : null;
    const first = prediction === null ? "no class predicted" : `${prediction} ${probability(row)}`;
    const second = label === null ? "no label" : `label ${label}`;
    const words = sorted === null ? [first, second] : [`${first} · ${second}`, sorted];
    return words.map((line) => make("span", { title: line }, line));
  }

  /** Put the picture into a tile, or the words why there is none. */
  async function fill(tile) {
    tile.entry = entryOf(tile.row);
    const why = worded("error", tile.row) ?? (missing.has(chunkOf(tile.row)) ? "Its file in data/ could not be read." : null);
    if (why !== null || !tile.entry) return say(tile, why);
    try {
      tile.drawing = await photograph(tile.entry, 1, table.maps.length ? "picture with its map" : "picture");
    } catch {
      return say(tile, "The picture could not be decoded.");
    }
    return showDrawing(tile);
  }

  function showDrawing(tile) {
    if (table.maps.length) draw(tile.drawing, tile.entry, mapNumber());
    tile.box.prepend(tile.drawing.context.canvas);
    tile.box.classList.add("is-drawn");
    say(tile, tile.entry.t ? null : "No picture: no file, or another one now.");
  }

  function say(tile, words) {
    tile.box.querySelector(".images-why")?.remove();
    if (words !== null) tile.box.append(make("span", { class: "images-why" }, words));
  }

  function makeLine(line) {
    const element = make("div", { class: "images-line", role: "row", "aria-rowindex": line + 1 });
    const end = Math.min((line + 1) * across, order.length);
    for (let place = line * across; place < end; place += 1) element.append(makeTile(place));
    element.style.transform = `translateY(${line * lineHeight}px)`;
    lines.set(line, element);
    grid.append(element);
    return element;
  }

  function removeLine(line) {
    for (const element of lines.get(line).children) tiles.delete(order[Number(element.dataset.place)]);
    lines.get(line).remove();
    lines.delete(line);
  }

  /** The lines that must exist: those in the window, one more on each side, and the one that has the focus. */
  function neededLines() {
    const top = -grid.getBoundingClientRect().top;
    const last = Math.ceil(order.length / across) - 1;
    const from = Math.min(last, Math.max(0, Math.floor(top / lineHeight) - 1));
    const to = Math.min(last, Math.max(from, Math.floor((top + innerHeight) / lineHeight) + 1));
    const needed = new Set(Array.from({ length: to - from + 1 }, (_, step) => from + step));
    return grid.contains(document.activeElement) ? needed.add(Math.floor(active / across)) : needed;
  }

  function renderWindow() {
    if (grid.hidden) return;
    const needed = neededLines();
    for (const line of [...lines.keys()]) if (!needed.has(line)) removeLine(line);
    for (const line of needed) if (!lines.has(line)) makeLine(line);
    if (!lines.has(Math.floor(active / across))) setActive(Math.min(...needed) * across);
    request();
  }

  /** Lay the tiles anew, after a filter, a sort, another size of window or tile. */
  function layTiles() {
    const hadFocus = grid.contains(document.activeElement);
    const size = Math.min(320, Math.max(96, Number(state.size) || Number(DEFAULTS.size)));
    grid.hidden = order.length === 0;
    grid.replaceChildren();
    [former, tiles] = [tiles, new Map()];
    lines.clear();
    if (grid.hidden) return;
    const gap = parseFloat(getComputedStyle(grid).columnGap);
    across = Math.max(1, Math.round((grid.clientWidth + gap) / (size + gap)));
    active = Math.min(active, order.length - 1);
    grid.style.setProperty("--across", across);
    grid.setAttribute("aria-colcount", across);
    grid.setAttribute("aria-rowcount", Math.ceil(order.length / across));
    lineHeight = makeLine(0).offsetHeight + gap;
    grid.style.height = `${Math.ceil(order.length / across) * lineHeight}px`;
    renderWindow();
    former.clear();
    if (hadFocus) goTo(active);
  }

  function setActive(place) {
    tiles.get(order[active])?.element.setAttribute("tabindex", "-1");
    active = place;
    tiles.get(order[active])?.element.setAttribute("tabindex", "0");
  }

  function goTo(place) {
    setActive(Math.min(Math.max(place, 0), order.length - 1));
    const line = lines.get(Math.floor(active / across)) ?? makeLine(Math.floor(active / across));
    line.scrollIntoView({ block: "nearest" });
    tiles.get(order[active]).element.focus({ preventScroll: true });
    renderWindow();
  }

  function onTileKey(event) {
    const page = Math.max(1, Math.floor(innerHeight / lineHeight) - 1) * across;
    const [up, down] = [active - across, active + across];
    const targets = new Map([
      ["ArrowLeft", active - 1], ["ArrowRight", active + 1], ["ArrowUp", up < 0 ? active : up], ["Home", 0], ["PageUp", active - page],
      ["ArrowDown", down < order.length ? down : active], ["End", order.length - 1], ["PageDown", active + page],
    ]);
    const isOpening = event.key === "Enter" || event.key === " ";
    if (event.altKey || event.ctrlKey || event.metaKey || !(isOpening || targets.has(event.key))) return;
    event.preventDefault();
    if (isOpening) openAndRemember(order[active]);
    else goTo(targets.get(event.key));
  }

  // ------------------------------------------------------------------------------------------------ controls
  /** Select again after the state changed: the rows, how many they are, their tiles. */
  function select() {
    const start = performance.now();
    order = selected();
    part("count").textContent = `${grouped(order.length)} of ${grouped(table.n)} image${table.n === 1 ? "" : "s"}`;
    part("clear").hidden = !FILTERS.some((name) => state[name]);
    part("csv").hidden = order.length === 0;
    part("empty").hidden = order.length > 0;
    part("empty").textContent = table.n ? "No image passes all of these filters." : "This run has no images.";
    layTiles();
    performance.measure("seewhy:select", { start });
  }

  /** The choices [value, words] of a list, which is hidden where there is nothing to choose. */
  function fillList(name, choices) {
    const options = choices.map(([value, words]) => {
      const option = make("option", {}, words.length > 60 ? `${words.slice(0, 59)}…` : words);
      option.value = value;
      return option;
    });
    part(name).replaceChildren(...options);
    part(name).closest("label").hidden = choices.length < 2;
  }

  function fillControls() {
    const own = (values) => values.map((value) => [value, value]);
    const fillFilter = (name, choices) => fillList(name, choices.length ? [["", "all"], ...choices] : []);
    for (const name of ["split", "label", "prediction"]) fillFilter(name, own(table[name].values));
    const warnings = table.warning.values.slice(0, 100);
    fillFilter("warning", warnings.length ? [["any", "with any warning"], ["none", "without one"], ...own(warnings)] : []);
    fillFilter("error", table.error.values.length ? [["any", "only unreadable"], ["none", "only readable"]] : []);
    fillFilter("right", own([...VERDICTS.keys()].filter((word) => table.correct.includes(VERDICTS.get(word)))));
    const factors = table.findings.map((finding) => finding.factor);
    fillFilter("finding", own(factors));
    fillList("sort", [
      ["", "the table's order"], ["name", "name"], ["probability", "probability of the prediction"],
      ...table.regions.map(({ name }) => [`share:${name}`, `share of the map in ${name}`]),
      ...factors.map((factor) => [`change:${factor}`, `change under ${factor}`]),
      ...factors.map((factor) => [`flips:${factor}`, `flips under ${factor}`]),
    ]);
    for (const name of PARTS_OF_MAP) fillList(name, own([...new Set(table.maps.map((map) => map[name]))]));
    const words = { heat: "heat", jet: "jet", signed: "signed: lowers or raises" };
    const fitting = [...table.tables.keys()].filter((name) => name !== "signed" || table.maps.some((map) => map.signed));
    fillList("colours", fitting.map((name) => [name, words[name] ?? name]));
    if (!table.maps.length) for (const one of document.querySelectorAll(".of-maps")) one.hidden = true;
  }

  /** Bring every control to the state. */
  function showState() {
    for (const name of [...FILTERS, "scale", "size"]) part(name).value = state[name];
    part("sort").value = state.sort.replace(/^-/, "");
    part("order").value = state.sort.startsWith("-") ? "-" : "";
    part("opacity").value = opacityPercent();
    part("colours").value = colourName();
    part("size-told").textContent = `${part("size").value} px`;
    part("opacity-told").textContent = `${part("opacity").value} %`;
    for (const name of PARTS_OF_MAP) part(name).value = table.maps[mapNumber()]?.[name] ?? "";
    for (const button of part("figures").querySelectorAll("button")) button.setAttribute("aria-pressed", isChosen(button.dataset.map));
    redrawSoon();
  }

  const isChosen = (name) => name === table.maps[mapNumber()].name;

  /** The map that has the chosen word, and most of the other two words of the present one. */
  function mapWith(name, word) {
    const present = table.maps[mapNumber()];
    const alike = (map) => PARTS_OF_MAP.filter((one) => map[one] === present[one]).length;
    return table.maps.filter((map) => map[name] === word).reduce((best, map) => (alike(map) > alike(best) ? map : best)).name;
  }

  function onControl({ target }) {
    const isOfSort = target.name === "sort" || target.name === "order";
    if (PARTS_OF_MAP.includes(target.name)) state.map = mapWith(target.name, target.value);
    else if (isOfSort) state.sort = part("order").value + part("sort").value;
    else state[target.name] = target.value;
    showState();
    if (isOfSort || FILTERS.includes(target.name)) {
      active = 0;
      select();
      if (grid.getBoundingClientRect().top < 0) part("results").scrollIntoView();
    }
    if (target.name === "size") layTiles();
    if (target.matches("[type=search], [type=range]")) rememberSoon();
    else remember();
  }

  function clearFilters() {
    for (const name of FILTERS) state[name] = "";
    showState();
    select();
    remember();
    part("text").focus();
  }

  // ------------------------------------------------------------------------------------------------ the large view
  const large = { row: null, entry: undefined, plain: null, drawings: [] }; // drawings: in the order of the maps

  function openLarge(row) {
    const place = order.indexOf(row);
    Object.assign(large, { row, entry: undefined, drawings: [] });
    if (place >= 0) setActive(place);
    part("large-title").textContent = table.ids[row];
    part("large-place").textContent = place < 0 ? "not among the filtered images" : `${grouped(place + 1)} of ${grouped(order.length)}`;
    part("previous").disabled = place <= 0;
    part("next").disabled = place < 0 || place === order.length - 1;
    if (!part("large").open) part("large").showModal();
    if (document.activeElement.disabled || !part("large").contains(document.activeElement)) part("close").focus();
    showLarge();
    request();
  }

  function openAndRemember(row) {
    setImage(row);
    openLarge(row);
    remember();
  }

  function closeLarge() {
    if (part("large").open) part("large").close();
    Object.assign(large, { row: null, entry: undefined, plain: null, drawings: [] });
  }

  /** After the dialog closed, by whatever means: the image that was seen last has the focus. */
  function onClosed() {
    const place = order.indexOf(large.row);
    closeLarge();
    setImage(-1);
    remember();
    const isElsewhere = document.activeElement !== document.body && !grid.contains(document.activeElement);
    if (place >= 0 && !isElsewhere) goTo(place); // whoever went on to a filter meanwhile stays there
  }

  function step(by) {
    const place = order.indexOf(large.row);
    if (place < 0 || order[place + by] === undefined) return;
    setImage(order[place + by]);
    openLarge(order[place + by]);
    rememberSoon();
  }

  /** All of an image: what the table has at once, pictures and logits when their file is here. */
  async function showLarge() {
    const { row } = large;
    const entry = entryOf(row);
    const error = worded("error", row);
    const waiting = missing.has(chunkOf(row)) ? "Its file in data/ could not be read." : "Loading the picture …";
    large.entry = entry;
    part("save").disabled = true;
    part("large-told").replaceChildren(...told(row, error));
    fillCards(row, entry ?? { l: [], o: {} });
    if (error !== null || !entry) return part("figures").replaceChildren(make("p", {}, error === null ? waiting : `Unreadable: ${error}`));
    const labels = ["the picture without a map", ...table.maps.map((map) => `the picture with the map ${map.name}`)];
    const [plain, ...drawings] = await Promise.all(labels.map((label) => photograph(entry, LEAST, label)));
    if (large.row !== row) return;
    Object.assign(large, { plain, drawings });
    drawings.forEach((drawing, which) => draw(drawing, entry, which));
    part("figures").replaceChildren(...figures(entry));
    part("save").disabled = false;
  }

  function figures(entry) {
    const words = entry.t ? "Picture, without a map" : "No picture: when the report was written there was no file, or another one than the run had read";
    const plain = make("figure", {}, large.plain.context.canvas, make("figcaption", {}, words));
    return [plain, ...large.drawings.map(({ context }, which) => {
      return make("figure", { class: "is-map" }, context.canvas, make("figcaption", {}, ...caption(table.maps[which], entry.m[which])));
    })];
  }

  function caption(map, stored) {
    const pressing = { type: "button", title: "Take this map for the tiles and for the PNG", "aria-pressed": isChosen(map.name) };
    const name = table.maps.length > 1 ? make("button", { ...pressing, "data-map": map.name }, map.name) : make("strong", {}, map.name);
    if (!stored) return [name, make("span", {}, "There is no map of this image.")];
    const range = `largest value ${number(stored.hi)}, smallest ${number(stored.lo)}`;
    return [
      name,
      stored.e ? make("span", { class: "images-why" }, `Drawn empty: ${stored.e}.`) : null,
      make("span", {}, `Score explained: ${map.score} = ${number(stored.s)}`),
      make("span", {}, [range, ...(map.fine ? ["drawn smoothed"] : []), ...(map.cut ? ["the strongest 4 % in full colour"] : [])].join("; ")),
    ];
  }

  /** Right or wrong, prediction, label, split and warning. */
  function told(row, error) {
    if (error !== null) return [make("strong", {}, "⊘ unreadable")];
    const [prediction, label, split, warning] = ["prediction", "label", "split", "warning"].map((name) => worded(name, row));
    const marks = { right: "✓ right", wrong: "✗ wrong", unknown: "not known whether right" };
    return [
      make("strong", { class: `is-${verdict(row)}` }, marks[verdict(row)]),
      prediction && make("span", {}, `Predicted ${prediction} with probability ${probability(row)}`),
      make("span", {}, label === null ? "no label" : `label ${label}`),
      split && make("span", {}, `split ${split}`),
      warning && make("span", {}, `△ ${warning}`),
    ].filter((one) => one !== null);
  }

  /** Rows of cells into the table of a card, which is hidden where there are none. */
  function fillCard(id, rows) {
    const cells = ([first, ...rest]) => [make("th", { scope: "row" }, first), ...rest.map((cell) => make("td", {}, cell))];
    part(id).hidden = rows.length === 0;
    part(id).querySelector("tbody").replaceChildren(...rows.map((row) => make("tr", {}, ...cells(row))));
  }

  function fillCards(row, entry) {
    fillCard("card-findings", table.findings.map((finding) => tested(finding, row)));
    fillCard("card-logits", bars(entry.l));
    fillCard("card-regions", table.regions.map((region) => [region.name, percent(region.shares[row])]));
    const original = entry.o.original ? link("Original file", entry.o.original, "the picture as the run read it") : "";
    part("card-files").hidden = original === "";
    part("card-files").querySelector("p").replaceChildren(original);
  }

  function tested({ factor, title, page, changes, flips }, row) {
    const name = page ? link(factor, page, title) : factor;
    const isTested = !Number.isNaN(changes[row]) || !Number.isNaN(flips[row]);
    return isTested ? [name, number(changes[row]), percent(flips[row])] : [name, "not tested", "not tested"];
  }

  /** The logits [class, value], each with a bar from zero, all on one scale. */
  function bars(logits) {
    const values = logits.map(([, value]) => value ?? 0);
    const low = Math.min(0, ...values);
    const span = Math.max(0, ...values) - low || 1;
    return logits.map(([code, value], at) => {
      const bar = make("span", { class: "images-bar-of" });
      bar.style.left = `${((Math.min(0, values[at]) - low) / span) * 100}%`;
      bar.style.width = `${(Math.abs(values[at]) / span) * 100}%`;
      return [table.classes[code] ?? `class ${code}`, number(value), make("span", { class: "images-track", "aria-hidden": "true" }, bar)];
    });
  }

  // ------------------------------------------------------------------------------------------------ files to keep
  /** The large picture with the chosen map, or the plain one in a run without maps. */
  function savePicture() {
    const { context } = large.drawings[mapNumber()] ?? large.plain;
    const words = [table.ids[large.row].slice(-80), table.maps[mapNumber()]?.name ?? ""].join(" ");
    const name = words.replace(/[^A-Za-z0-9-]+/g, "_").replace(/^[-_]+|_+$/g, "").slice(0, 150) || "image";
    context.canvas.toBlob((blob) => seewhy.save(`${name}.png`, "image/png", blob));
  }

  function saveTable() {
    const words = (name) => [name, (row) => worded(name, row)];
    const numbers = (name, values) => [name, (row) => (Number.isNaN(values[row]) ? null : values[row])];
    const columns = [
      ["id", (row) => table.ids[row]], ...["split", "label", "prediction"].map(words), numbers("probability", table.probability),
      ["right", (row) => (table.correct[row] < 0 ? null : verdict(row))], ...["error", "warning"].map(words),
      ...table.regions.map((region) => numbers(`share in ${region.name}`, region.shares)),
      ...table.findings.map((finding) => numbers(`change under ${finding.factor}, logits`, finding.changes)),
      ...table.findings.map((finding) => numbers(`flips under ${finding.factor}, share`, finding.flips)),
    ];
    const rows = Array.from(order, (row) => columns.map(([, value]) => value(row)));
    seewhy.save("images.csv", "text/csv", seewhy.csv([columns.map(([name]) => name), ...rows]));
  }

  // ------------------------------------------------------------------------------------------------ start
  function onKey(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (part("large").open && by) step(by);
    if (event.key !== "/" || part("large").open || event.target.matches("input, select")) return;
    event.preventDefault();
    part("text").closest("details").open = true;
    part("text").focus();
  }

  function listen() {
    let width = grid.parentElement.clientWidth;
    const onSize = inNextFrame(() => (width === (width = grid.parentElement.clientWidth) ? renderWindow() : layTiles()));
    new ResizeObserver(onSize).observe(grid.parentElement);
    addEventListener("resize", onSize);
    addEventListener("scroll", inNextFrame(renderWindow), { passive: true });
    addEventListener("popstate", follow);
    addEventListener("hashchange", () => isNewAddress() && follow());
    addEventListener("keydown", onKey);
    part("controls").addEventListener("input", onControl);
    part("controls").addEventListener("submit", (event) => event.preventDefault());
    grid.addEventListener("keydown", onTileKey);
    grid.addEventListener("focusin", (event) => setActive(Number(event.target.dataset.place)));
    const onClick = (id, action) => part(id).addEventListener("click", (event) => action(event.target));
    onClick("grid", (target) => target.closest(".images-tile") && openAndRemember(order[target.closest(".images-tile").dataset.place]));
    onClick("figures", (target) => target.dataset.map !== undefined && (state.map = target.dataset.map, showState(), remember()));
    onClick("clear", clearFilters);
    onClick("csv", saveTable);
    onClick("save", savePicture);
    onClick("previous", () => step(-1));
    onClick("next", () => step(1));
    onClick("close", () => part("large").close());
    part("large").addEventListener("close", onClosed);
  }

  seewhy.pictures = (chunk, entries) => chunks.set(chunk, entries);

  seewhy.table = (given) => {
    prepare(given);
    if (innerWidth < 800) for (const one of document.querySelectorAll(".images-panel")) one.open = false;
    part("tested").textContent = [...new Set(table.findings.map((finding) => finding.tested))].join("; ");
    part("notes").hidden = !table.notes.length;
    part("notes").append(...table.notes.map((note) => make("li", {}, note)));
    fillControls();
    listen();
    follow();
  };

  part("layout").hidden = false;
  addEventListener("load", () => {
    if (!table) part("count").textContent = "data/table.js could not be read. Was the folder copied whole?";
  });
})();
