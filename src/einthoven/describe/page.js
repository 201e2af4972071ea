// The page of a dataset: sorting, the measure of the map, and the class that is shown.

const words = {
  records: "Number of records; the stronger the colour, the larger the share of the row\u2019s.",
  share: "Share of the row\u2019s records that have the column\u2019s class too.",
  chance:
    "How many times as often as if both classes were independent; orange is more often, blue less, pale where fewer than 5 records would be expected.",
};

// What a cell says and how it is shaded (0 to 1), from its records, those of its row and column, and all.
const measures = {
  records: (n, row) => [n.toLocaleString("en"), n / row, false],
  share: (n, row) => [`${((100 * n) / row).toFixed(1)} %`, n / row, false],
  chance: (n, row, column, all) => {
    const expected = (row * column) / all;
    const ratio = n / expected;
    const sure = Math.min(1, expected / 5); // of few records nothing follows
    const text = ratio >= 10 ? ratio.toFixed(0) : ratio.toFixed(2);
    const depth = n ? Math.min(1, Math.abs(Math.log2(ratio)) / 3) : 1;
    return [`${text}\u00d7`, sure * depth, ratio > 1];
  },
};

function shade(measure) {
  const table = document.querySelector(".heat");
  const rows = [...table.tBodies[0].rows].map((row) => [...row.querySelectorAll("td")]);
  const n = rows.map((row) => row.map((cell) => Number(cell.dataset.n)));
  rows.forEach((row, r) =>
    row.forEach((cell, c) => {
      const empty = !n[r][r] || !n[c][c] || (r === c && measure === "chance");
      const [text, depth, warm] = empty
        ? ["\u2013", 0, false]
        : measures[measure](n[r][c], n[r][r], n[c][c], Number(table.dataset.records));
      cell.textContent = text;
      cell.style.setProperty("--shade", depth.toFixed(3));
      cell.style.setProperty("--hue", warm ? "var(--warm)" : "var(--mark)");
    }),
  );
  document.getElementById("measure-words").textContent = words[measure];
}

function sortBy(header) {
  const table = header.closest("table");
  const column = [...header.parentElement.children].indexOf(header);
  const down = header.getAttribute("aria-sort") !== "descending";
  const key = (row) => row.children[column].dataset.value;
  const order = (a, b) => (Number.isNaN(Number(a)) ? String(b).localeCompare(a) : Number(b) - Number(a));
  const rows = [...table.tBodies[0].rows].sort((a, b) => order(key(a), key(b)) * (down ? 1 : -1));
  table.tBodies[0].append(...rows);
  for (const other of header.parentElement.children) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
}

// ECGs of a class become figures when they are first seen.
function showClass(name) {
  for (const article of document.querySelectorAll(".category")) {
    article.hidden = article.dataset.class !== name;
    const template = article.querySelector("template");
    if (article.hidden || !template) continue;
    template.replaceWith(document.importNode(template.content, true));
  }
  document.getElementById("class").value = name;
}

document.getElementById("measure").addEventListener("change", (event) => shade(event.target.value));
for (const button of document.querySelectorAll(".sortable button")) {
  button.addEventListener("click", () => sortBy(button.closest("th")));
}
const chooser = document.getElementById("class");
chooser.addEventListener("change", () => showClass(chooser.value));
for (const link of document.querySelectorAll("a[data-class]")) {
  link.addEventListener("click", () => showClass(link.dataset.class));
}
shade("records");
if (chooser.value) showClass(chooser.value);
document.body.dataset.state = "ready";
