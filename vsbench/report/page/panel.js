// The panel on a number: where it comes from, down to the files and the commands.

const board = read("board");

// a text by its number: as one string, and with its symbols
const text = number => (typeof board.texts[number] === "string" ? board.texts[number] : plain(board.texts[number]));
const rich = number => (typeof board.texts[number] === "string" ? board.texts[number] : symbols(board.texts[number]));
const definitions = pairs => make("dl", {}, pairs.flatMap(([name, ...values]) =>
  [make("dt", {}, name), ...values.map(value => make("dd", {}, value))]));
const heading = words => make("h3", {}, words);

function seedTable(seeds) {
  const rows = seeds.map(([name, value, limits]) => make("tr", {},
    make("th", { scope: "row" }, name), make("td", {}, value),
    make("td", {}, limits ? `${limits[0]} to ${limits[1]}` : "–")));
  return make("table", { class: "small" }, make("thead", {}, make("tr", {},
    ...["run", "value", "95 % interval over slides"].map(words => make("th", { scope: "col" }, words)))),
    make("tbody", {}, rows));
}

function printedTable(rows) {
  return make("table", { class: "small" }, make("thead", {}, make("tr", {},
    ...["place", "name there", "number"].map(words => make("th", { scope: "col" }, words)))),
    make("tbody", {}, rows.map(cells => make("tr", {}, cells.map(cell => make("td", {}, cell))))));
}

function historyTable(rows) {
  return make("table", { class: "small" }, make("thead", {}, make("tr", {},
    ...["version", "kind", "value"].map(words => make("th", { scope: "col" }, words)))),
    make("tbody", {}, rows.map(cells => make("tr", {}, cells.map(cell => make("td", {}, cell))))));
}

function runFacts(run) {
  const link = ([name, href]) => make("a", { href }, name);
  return make("details", {}, make("summary", {}, `Provenance of ${run.name}`),
    definitions(run.digests.map(([name, value]) => [`SHA-256, ${name}`, make("code", {}, text(value))])),
    definitions(run.facts.map(([name, value]) => [name, text(value)])),
    run.commands.length ? [make("p", {}, "To get it again:"), make("pre", {}, run.commands.map(text).join("\n"))] : null,
    run.notes.length ? list(run.notes.map(rich)) : null,
    run.files.length ? make("p", {}, "Files: ", run.files.map(link).flatMap((file, i) => (i ? [" · ", file] : [file]))) : null);
}

function rowFacts(row) {
  const facts = [["data", `${row.dataset}, ${row.stain}`], ["kind", row.kind]];
  if (row.n) facts.push(["images", `N = ${row.n}, ` +
    (row.slides === null ? "slides unknown" : `${row.slides} slide${row.slides === 1 ? "" : "s"}`)]);
  if (row.benchmark) facts.push(["benchmark", row.benchmark]);
  if (row.seeds) facts.push(["seeds", String(row.seeds)]);
  return facts;
}

function cellParts(value, cell) {
  const facts = [["value", cell.text + (value.unit && cell.mean !== null ? ` ${value.unit}` : "")]];
  if (cell.limits) facts.push(["95 % interval", `${cell.limits[0]} to ${cell.limits[1]}, over slides`]);
  if (cell.mark === "best") facts.push(["standing", "best method of its data set and stain"]);
  if (cell.mark === "alike") facts.push(["standing", "not distinguishable from the best at 5 %"]);
  if (cell.p) facts.push(["p against the best", `${cell.p}, corrected over the methods`]);
  if (cell.caution !== undefined) facts.push(["mind", text(cell.caution)]);
  if (cell.protocol !== undefined) facts.push(["protocol", make("code", {}, text(cell.protocol))]);
  if (cell.formula !== undefined) facts.push(["formula", text(cell.formula)]);
  if (value.score) facts.push(["better", BETTER[value.best][1]]);
  return facts;
}

// value: its description, or null for the row as a whole
function openPanel(row, value) {
  const cell = value && row.cells[value.name];
  const notes = [...((cell && cell.notes) || []), ...row.notes];
  const parts = [definitions([...(cell ? cellParts(value, cell) : []), ...rowFacts(row)])];
  if (notes.length) parts.push(heading("Notes"), list(notes.map(rich)));
  if (cell && cell.printed) parts.push(heading("As printed"), printedTable(cell.printed));
  if (cell && cell.history) parts.push(heading("By benchmark version"), historyTable(cell.history));
  if (cell && cell.seeds) parts.push(heading("Each run"), seedTable(cell.seeds));
  if (row.runs.length) parts.push(heading("Provenance"), ...row.runs.map(run => runFacts(board.runs[run])));
  const title = find("panel-title"), body = find("panel").querySelector("div");
  title.replaceChildren(row.method, ...(value ? [": ", ...symbols(value.label)] : []));
  body.replaceChildren(...parts);
  openDialog(find("panel"));
}
