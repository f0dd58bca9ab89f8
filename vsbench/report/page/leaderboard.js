// One table over all data sets: sorted by any column, filtered, its notes below it.

const shownValues = new Set(board.values.filter(value => value.main).map(value => value.name));
if (!shownValues.size) board.values.slice(0, 8).forEach(value => shownValues.add(value.name));

const sorting = { key: null, down: false };
const FILTERS = ["dataset", "stain", "kind", "group", "benchmark"];

function sortKey(row) {
  const value = board.values.find(other => other.name === sorting.key);
  const found = value ? row.cells[value.name] && row.cells[value.name].mean : row[sorting.key];
  if (found === undefined || found === null) return null;
  return !value ? found : value.best === "zero" ? Math.abs(Number(found)) : Number(found);
}

function compareRows(a, b) {
  const [first, second] = [sortKey(a), sortKey(b)];
  if (first === null || second === null) return (first === null) - (second === null); // absent last, either way
  const order = typeof first === "number" ? (first > second) - (first < second)
    : first.localeCompare(second, "en", { numeric: true, sensitivity: "base" });
  return sorting.down ? -order : order;
}

const isFiltered = () => FILTERS.some(name => find("filter-" + name).value) || find("filter-text").value.trim();

function isShown(row) {
  if (row.elsewhere && !isFiltered()) return false; // a hundred printed rows would bury what was measured
  if (!FILTERS.every(name => !find("filter-" + name).value || row[name] === find("filter-" + name).value)) return false;
  const words = find("filter-text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const all = [row.dataset, row.stain, row.kind, row.method, row.protocol, ...row.notes.map(text)].join(" ");
  return words.every(word => all.toLowerCase().includes(word));
}

function sortBy(key, value) {
  if (sorting.key === key) sorting.down = !sorting.down;
  else Object.assign(sorting, { key, down: Boolean(value && value.best === "high") }); // best first
  showBoard();
  document.querySelector("#board th[aria-sort] button").focus();
}

function head(key, words, value) {
  const sorted = sorting.key === key;
  const arrow = value && value.score ? ` ${BETTER[value.best][0]}` : "";
  const hint = value && value.score ? `, ${BETTER[value.best][1]} is better` : "";
  return make("th", { scope: "col", "aria-sort": sorted ? (sorting.down ? "descending" : "ascending") : null,
    class: value ? "number" : key },
    make("button", { type: "button", onclick: () => sortBy(key, value), title: `Sort${hint}` }, words, arrow,
      spoken(hint), make("span", { class: "sorted", "aria-hidden": "true" }, sorted ? (sorting.down ? " ▼" : " ▲") : "")),
    value && value.unit ? make("small", {}, value.unit) : null);
}

function valueCell(row, value) {
  const cell = cellOf(row, value);
  if (!cell) return make("td", { class: "number absent" }, "–", spoken("not there"));
  const says = [];
  if (cell.limits) says.push(`95 % interval ${cell.limits[0]} to ${cell.limits[1]}`);
  if (cell.mark === "best") says.push("best");
  if (cell.mark === "alike") says.push("not distinguishable from the best");
  const hint = [...says, ...(cell.notes || []).map(text)].join("; ");
  const sign = { best: "★ ", alike: "≈ " }[cell.mark], [mean, spread] = cell.text.split(" ± ");
  return make("td", { class: `number ${cell.mark || ""} ${cell.mean === null ? "absent" : ""}`.trim() },
    make("button", { type: "button", class: "cell", tabindex: "-1", title: hint || null,
      onclick: () => openPanel(row, value) },
      sign ? make("span", { class: "sign", "aria-hidden": "true" }, sign) : null, mean,
      spread ? make("span", { class: "spread" }, ` ± ${spread}`) : null,
      says.length ? spoken(", " + says.join(", ")) : null));
}

function boardRow(row, values, facts, letter) {
  const own = facts.filter(([key]) => says(row, key)).map(([key, say]) => say(row[key]));
  return make("tr", { class: row.kind }, make("th", { scope: "row", class: "method" },
    make("button", { type: "button", class: "cell", tabindex: "-1", onclick: () => openPanel(row, null) }, row.method,
      letter ? make("sup", {}, letter, spoken(": see the notes")) : null),
    own.length ? make("small", {}, own.join(" · ")) : null), values.map(value => valueCell(row, value)));
}

function showBoard() {
  const rows = board.rows.filter(isShown);
  const chosen = board.values.filter(value => shownValues.has(value.name) && rows.some(row => cellOf(row, value)));
  const constant = chosen.filter(value => isConstant(value, rows)), values = chosen.filter(value => !constant.includes(value));
  if (sorting.key !== null) rows.sort(compareRows);
  find("board").tHead.replaceChildren(make("tr", {}, head("method", "Method", null),
    values.map(value => head(value.name, symbols(value.label), value))));
  const facts = differing(rows), lettered = showNotes(rows, values);
  find("board").tBodies[0].replaceChildren(...rows.map(row => boardRow(row, values, facts, lettered.get(row))));
  const first = find("board").querySelector(".cell");
  if (first) first.tabIndex = 0; // one stop for the Tab key; arrow keys go on from there
  const elsewhere = board.rows.filter(row => row.elsewhere).length;
  find("count").textContent = `${rows.length} of ${board.rows.length} rows`
    + (elsewhere && !isFiltered() ? `; ${elsewhere} printed ones are of other data: choose it above` : "");
  showConstants(rows, constant);
  const cells = rows.flatMap(row => values.map(value => cellOf(row, value)).filter(Boolean)); // a legend of what is there
  for (const mark of ["best", "alike"]) find(`legend-${mark}`).hidden = !cells.some(cell => cell.mark === mark);
  find("legend-spread").hidden = !cells.some(cell => cell.text.includes(" ± "));
  find("legend-notes").hidden = !lettered.size;
}

function moveInBoard(event) {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  const place = event.target.closest("td, th");
  if (!step || !event.target.matches("tbody .cell")) return;
  const rows = [...find("board").tBodies[0].rows];
  let [row, column] = [rows.indexOf(place.parentElement) + step[0], place.cellIndex + step[1]];
  while (rows[row] && rows[row].cells[column]) {
    const next = rows[row].cells[column].querySelector(".cell");
    if (next) { focusCell(next); break; }
    [row, column] = [row + step[0], column + step[1]];
  }
  event.preventDefault();
}

function focusCell(cell) {
  for (const other of find("board").querySelectorAll(".cell[tabindex='0']")) other.tabIndex = -1;
  cell.tabIndex = 0;
  cell.focus();
}

function startLeaderboard() {
  for (const name of FILTERS) {
    const found = [...distinct(board.rows.map(row => row[name]))];
    options(find("filter-" + name), [["", "all"], ...found.map(value => [value, value])]);
    hideUnlessChoice(find("filter-" + name), found.length);
    find("filter-" + name).addEventListener("change", showBoard);
  }
  find("filter-text").addEventListener("input", showBoard);
  find("filters").addEventListener("submit", event => event.preventDefault());
  find("filters").addEventListener("reset", () => setTimeout(showBoard));
  find("columns").querySelector("div").replaceChildren(...board.values.map(value => make("label", { class: "check" },
    make("input", { type: "checkbox", value: value.name, checked: shownValues.has(value.name), onchange: event => {
      if (event.target.checked) shownValues.add(value.name); else shownValues.delete(value.name);
      showBoard();
    } }), " ", symbols(value.label))));
  find("board").addEventListener("keydown", moveInBoard);
  showBoard();
}
