// What every page offers beyond reading: light or dark, charts as SVG or PNG, tables as CSV.
"use strict";

window.seewhy = window.seewhy || {};

seewhy.save = (name, type, content) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};

// A cell that a spreadsheet would run as a formula gets an apostrophe; numbers stay as they are.
seewhy.csv = (rows) =>
  rows
    .map((row) =>
      row
        .map((cell) => {
          let text = cell === null || cell === undefined ? "" : String(cell);
          if (/^[=+\-@\t]/.test(text) && Number.isNaN(Number(text))) text = "'" + text;
          return /[",\n\r']/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
        })
        .join(","),
    )
    .join("\r\n") + "\r\n";

(() => {
  const root = document.documentElement;

  function theme() {
    const button = document.getElementById("theme");
    const media = matchMedia("(prefers-color-scheme: dark)");
    let chosen = null;
    try {
      chosen = localStorage.getItem("seewhy-theme");
    } catch {
      chosen = null; // pages from disk may not remember
    }
    const isDark = () => (chosen ? chosen === "dark" : media.matches);
    const show = () => {
      if (chosen) root.dataset.theme = chosen;
      button.textContent = isDark() ? "Light" : "Dark";
      button.setAttribute("aria-label", `Show the page in ${isDark() ? "light" : "dark"} colours`);
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      chosen = isDark() ? "light" : "dark";
      try {
        localStorage.setItem("seewhy-theme", chosen);
      } catch {
        // it holds for this page
      }
      show();
    });
    media.addEventListener("change", show);
    show();
  }

  function tools(parent, buttons) {
    const bar = document.createElement("div");
    bar.className = "tools";
    for (const [words, action] of buttons) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = words;
      button.addEventListener("click", action);
      bar.append(button);
    }
    parent.after(bar);
  }

  // The drawing as a file of its own: the page's colours are written out, on the page's paper.
  function drawing(svg) {
    const style = getComputedStyle(root);
    const box = svg.viewBox.baseVal;
    const copy = svg.cloneNode(true);
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.setAttribute("width", box.width);
    copy.setAttribute("height", box.height);
    const paper = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    paper.setAttribute("width", box.width);
    paper.setAttribute("height", box.height);
    paper.setAttribute("fill", style.getPropertyValue("--panel").trim());
    copy.prepend(paper);
    const text = new XMLSerializer().serializeToString(copy);
    return text.replace(/var\((--[\w-]+)(?:,\s*([^()]+))?\)/g, (all, name, other) => style.getPropertyValue(name).trim() || other || "black");
  }

  function picture(svg, name) {
    const box = svg.viewBox.baseVal;
    const image = new Image();
    image.onload = () => {
      const canvas = document.createElement("canvas");
      canvas.width = 2 * box.width;
      canvas.height = 2 * box.height;
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((blob) => seewhy.save(`${name}.png`, "image/png", blob));
    };
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(drawing(svg));
  }

  function cells(table) {
    const text = (cell) => cell.innerText.replace(/\s+/g, " ").trim();
    return [...table.rows].map((row) => [...row.cells].flatMap((cell) => cell.dataset.csv?.split("|") ?? [text(cell)]));
  }

  theme();
  for (const frame of document.querySelectorAll("[data-export]")) {
    const shown = () => [...frame.querySelectorAll("svg")].find((svg) => svg.getClientRects().length) || frame.querySelector("svg");
    const name = frame.dataset.export;
    tools(frame, [
      ["Save as SVG", () => seewhy.save(`${name}.svg`, "image/svg+xml", drawing(shown()))],
      ["Save as PNG", () => picture(shown(), name)],
    ]);
  }
  for (const table of document.querySelectorAll("table[data-name]")) {
    const frame = table.closest(".wide") || table;
    tools(frame, [["Save as CSV", () => seewhy.save(`${table.dataset.name}.csv`, "text/csv", seewhy.csv(cells(table)))]]);
  }
})();
