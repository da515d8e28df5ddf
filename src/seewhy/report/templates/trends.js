// The page of trends: a frame around points, or a group's button, shows their images.
"use strict";

window.seewhy = window.seewhy || {};

(() => {
  const KEY = document.currentScript.nonce; // what scripts of this page must bear
  const MOST = 60; // images that are shown at once
  const PIXELS = 2; // a frame below so many on the plane is a click
  const part = (id) => document.getElementById(id);
  const { blend } = seewhy;
  const chunks = new Map(); // number -> promise of its entries
  const arrived = new Map(); // number -> entries
  let data = null; // {chunk, names, colours, members}
  let turn = 0; // counts choices, so that a late picture of an earlier one is dropped

  const circles = [...part("points").querySelectorAll("circle")];
  const rowOf = (circle) => Number(circle.dataset.row);

  function make(name, attributes, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  /** The entries of a file of pictures: a promise, of [] where it cannot be read. */
  function entriesOf(number) {
    if (!chunks.has(number)) {
      chunks.set(number, new Promise((resolve) => {
        const script = make("script", { src: `data/pictures-${String(number).padStart(4, "0")}.js` });
        script.nonce = KEY;
        const done = () => { script.remove(); resolve(arrived.get(number) ?? []); };
        script.addEventListener("load", done);
        script.addEventListener("error", done);
        document.head.append(script);
      }));
    }
    return chunks.get(number);
  }

  /** Draw a picture with its first map into a canvas. */
  async function draw(canvas, row) {
    const entry = (await entriesOf(Math.floor(row / data.chunk)))[row % data.chunk];
    if (!entry?.t) return;
    const image = new Image();
    image.src = entry.t;
    await image.decode();
    [canvas.width, canvas.height] = [entry.w, entry.h];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, entry.w, entry.h);
    const look = { colours: data.bytes, isSigned: false, opacity: 0.6, peak: null };
    pixels.data.set(blend.overlay(pixels.data, entry.w, entry.h, entry.m[0], look, entry.r));
    context.putImageData(pixels, 0, 0);
  }

  function choose(rows, words) {
    const wanted = new Set(rows), now = (turn += 1);
    for (const circle of circles) circle.classList.toggle("chosen", wanted.has(rowOf(circle)));
    const shown = rows.slice(0, MOST);
    const some = shown.length < rows.length ? `, ${shown.length} are shown` : "";
    part("chosen").textContent = rows.length ? `${words}: ${rows.length} images${some}.` : "Nothing is chosen.";
    part("pictures").replaceChildren(...shown.map((row) => {
      const canvas = make("canvas", { width: 4, height: 4, role: "img", "aria-label": `${data.names[row]} with its map` });
      const link = make("a", { href: `images.html#image=${encodeURIComponent(data.names[row])}` }, canvas);
      if (now === turn) draw(canvas, row).catch(() => {});
      return make("li", {}, link, make("p", {}, make("bdi", {}, data.names[row].split("/").pop())));
    }));
  }

  /** Where a pointer is, in the plane's own units. */
  function placeOf(event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(part("points").getScreenCTM().inverse());
    return [point.x, point.y];
  }

  function brush() {
    const plane = part("points"), frame = part("frame");
    let start = null;
    const box = (event) => {
      const end = placeOf(event);
      return [0, 1].map((axis) => [Math.min(start[axis], end[axis]), Math.max(start[axis], end[axis])]);
    };
    plane.addEventListener("pointerdown", (event) => {
      start = placeOf(event);
      plane.setPointerCapture(event.pointerId);
    });
    plane.addEventListener("pointermove", (event) => {
      if (!start) return;
      const [[left, right], [top, bottom]] = box(event);
      for (const [name, value] of Object.entries({ x: left, y: top, width: right - left, height: bottom - top })) frame.setAttribute(name, value);
    });
    plane.addEventListener("pointerup", (event) => {
      if (!start) return;
      let [[left, right], [top, bottom]] = box(event);
      if (right - left < PIXELS && bottom - top < PIXELS) [left, right, top, bottom] = [left - PIXELS, right + PIXELS, top - PIXELS, bottom + PIXELS];
      start = null;
      const within = circles.filter((circle) => {
        const [x, y] = [circle.cx.baseVal.value, circle.cy.baseVal.value];
        return x >= left && x <= right && y >= top && y <= bottom;
      });
      choose(within.map(rowOf), "In the frame");
    });
    plane.addEventListener("pointercancel", () => { start = null; });
  }

  seewhy.pictures = (number, entries) => arrived.set(number, entries);
  seewhy.trends = (given) => {
    data = { ...given, bytes: blend.bytes(given.colours) };
    brush();
    for (const button of document.querySelectorAll("button[data-group]")) {
      button.addEventListener("click", () => {
        choose(data.members[button.dataset.group] ?? [], button.closest("article").querySelector("h3").textContent.split(":")[0]);
        part("plane").scrollIntoView();
      });
    }
  };
})();
