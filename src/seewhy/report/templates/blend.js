// Pictures blended with maps: pure functions on typed arrays, the same arithmetic as seewhy/render/overlay.py.
"use strict";

window.seewhy = window.seewhy || {};

seewhy.blend = (() => {
  const STEPS = 127; // of a stored map and of a signed colour table, to either side of zero

  /** The bytes of base64 text: Uint8Array; bytes as they are, which must have a buffer of their own. */
  const bytes = (text) => (typeof text === "string" ? Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)) : text);

  /** The raw values of the largest step either way, at least 0; 1 where not known. A map that is drawn otherwise has its own (p). */
  function extremes({ hi: highest, lo: lowest, p }) {
    const [lo, hi] = p ?? [lowest, highest];
    const isKnown = Number.isFinite(hi) && Number.isFinite(lo);
    return isKnown ? { high: Math.max(hi, 0), low: Math.max(-lo, 0) } : { high: 1, low: 1 };
  }

  /** The values of a stored map {d, n, lo, hi, p} as drawn: Float32Array, row by row; without what is against it (n) if not signed. */
  function decode(map, isSigned) {
    const [steps, against] = [map.d, (isSigned && map.n) || ""].map((text) => new Int8Array(bytes(text).buffer));
    const { high, low } = extremes(map);
    return Float32Array.from(steps, (step, at) => (step / STEPS) * (step > 0 ? high : low) - ((against[at] ?? 0) / STEPS) * low);
  }

  /** The value that gets the full colour when a map is drawn by its own peak. */
  function ownPeak(map, isSigned) {
    const { high, low } = extremes(map);
    return isSigned ? Math.max(high, low) : high;
  }

  /** For each pixel along an axis: the two cells around its centre, the second one's share, and whether it is off. */
  function taps(cells, pixels, start, length) {
    const [low, high] = [new Int32Array(pixels), new Int32Array(pixels)];
    const [share, outside] = [new Float32Array(pixels), new Uint8Array(pixels)];
    for (let index = 0; index < pixels; index += 1) {
      const place = ((index + 0.5) / pixels - start) / length;
      const position = Math.min(Math.max(place * cells - 0.5, 0), cells - 1);
      outside[index] = place < 0 || place > 1 ? 1 : 0;
      low[index] = Math.min(Math.floor(position), Math.max(cells - 2, 0));
      high[index] = Math.min(low[index] + 1, cells - 1);
      share[index] = position - low[index];
    }
    return { low, high, share, outside };
  }

  /**
   * Values on a grid [rows, columns] laid on a picture: Float32Array of width * height, bilinear, 0 off the canvas.
   * `rectangle` is where the canvas lies on the picture (x, y, width, height), in shares of the picture.
   */
  function lay(values, [rows, columns], width, height, rectangle = [0, 0, 1, 1]) {
    const across = taps(columns, width, rectangle[0], rectangle[2]);
    const down = taps(rows, height, rectangle[1], rectangle[3]);
    const laid = new Float32Array(width * height);
    for (let y = 0; y < height; y += 1) {
      if (down.outside[y]) continue;
      const [upper, lower] = [down.low[y] * columns, down.high[y] * columns];
      for (let x = 0; x < width; x += 1) {
        if (across.outside[x]) continue;
        const [left, right, share] = [across.low[x], across.high[x], across.share[x]];
        const above = values[upper + left] + (values[upper + right] - values[upper + left]) * share;
        const below = values[lower + left] + (values[lower + right] - values[lower + left]) * share;
        laid[y * width + x] = above + (below - above) * down.share[y];
      }
    }
    return laid;
  }

  /** The opacity of each strength 0 to 255, itself 0 to 255: it grows with the map. */
  function opacities(opacity) {
    return Uint8Array.from({ length: 256 }, (_, strength) => Math.round((strength / 255) ** 0.8 * opacity * 255));
  }

  /**
   * A photograph (RGBA bytes) under laid values: new RGBA bytes. Colour and opacity grow with value / peak; below zero
   * only a signed table, whose middle is zero, has colours.
   */
  function blend(photograph, laid, { peak, colours, opacity, isSigned }) {
    const blended = new Uint8ClampedArray(photograph);
    const alphas = opacities(opacity);
    for (let pixel = 0; pixel < laid.length; pixel += 1) {
      const value = Math.min(Math.max(laid[pixel] / peak, isSigned ? -1 : 0), 1);
      if (value === 0) continue;
      const strength = Math.floor(Math.abs(value) * 255 + 0.5);
      const index = 3 * (isSigned ? 128 + Math.round(STEPS * value) : strength);
      const alpha = alphas[strength] / 255;
      for (let at = pixel * 4, channel = 0; channel < 3; channel += 1, at += 1) {
        blended[at] = Math.round(photograph[at] + (colours[index + channel] - photograph[at]) * alpha);
      }
    }
    return blended;
  }

  /**
   * The overlay of a stored map on a photograph of width * height pixels (RGBA bytes): new RGBA bytes.
   * look: {colours: bytes of a table, isSigned, opacity: 0 to 1, peak: a value, or null for the map's own peak}.
   * An empty map, or none, leaves the photograph.
   */
  function overlay(photograph, width, height, map, look, rectangle) {
    const peak = map ? (look.peak ?? ownPeak(map, look.isSigned)) : 0;
    if (!map || map.e || !(peak > 0)) return new Uint8ClampedArray(photograph);
    const raw = decode(map, look.isSigned);
    const values = look.isSigned ? raw : raw.map((value) => Math.max(value, 0)); // before cells mix, as in Python
    return blend(photograph, lay(values, map.g, width, height, rectangle), { ...look, peak });
  }

  return { blend, bytes, decode, lay, opacities, overlay, ownPeak };
})();
