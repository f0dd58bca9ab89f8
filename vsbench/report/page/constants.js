// What all rows have in common stands above the leaderboard; what is a row's own, below its name and in a note.

// [a row's key, how it is said]; below a row's name in this order
const FACTS = [
  ["dataset", name => name], ["stain", name => name], ["kind", kind => kind],
  ["group", group => group], ["protocol", name => `protocol ${name}`],
  ["benchmark", version => version],
  ["seeds", count => `${count} seed${count === 1 ? "" : "s"} of a training`], ["n", count => `N = ${count}`],
  ["slides", count => `${count} slide${count === 1 ? "" : "s"}`],
];
const distinct = items => new Set(items.filter(item => item !== null && item !== undefined));
const cellOf = (row, value) => row.cells[value.name];

// facts in which the rows differ; what some rows don't say (printed ones name no N) is no difference, unless most don't
const says = (row, key) => row[key] !== null && row[key] !== undefined;
const differing = rows => FACTS.filter(([key]) => distinct(rows.map(row => row[key])).size > 1
  || 2 * rows.filter(row => says(row, key)).length < rows.length);

// of a value that tells no row from another: no number at all, or one in all of several rows
function isConstant(value, rows) {
  const cells = rows.map(row => cellOf(row, value)).filter(Boolean);
  return cells.every(cell => cell.mean === null) || (cells.length > 1 && distinct(cells.map(cell => cell.text)).size === 1);
}

// notes of the data: those that every measured row of a data set and stain has
const dataOf = row => `${row.dataset}, ${row.stain}`;
const notesOfData = new Map();
for (const row of board.rows.filter(one => one.kind !== "printed"))
  notesOfData.set(dataOf(row), (notesOfData.get(dataOf(row)) || row.notes).filter(note => row.notes.includes(note)));

function showConstants(rows, constant) {
  const facts = FACTS.filter(fact => !differing(rows).includes(fact)).flatMap(([key, say]) => [...distinct(rows.map(row => row[key]))].map(say));
  const absent = new Map(); // why → labels
  const same = [];
  for (const value of constant) {
    const cells = rows.map(row => cellOf(row, value)).filter(Boolean);
    if (cells.some(cell => cell.mean !== null)) same.push([symbols(value.label), ` ${cells[0].text}${value.unit && ` ${value.unit}`}`]);
    else for (const note of distinct(cells.flatMap(cell => cell.notes || []))) absent.set(note, [...(absent.get(note) || []), value]);
  }
  find("constants").replaceChildren(...[
    facts.length || same.length ? make("li", {}, rows.length > 1 ? "All rows: " : "", joined([...facts, ...same])) : null,
    ...[...absent].map(([note, values]) => make("li", { title: text(note) }, joined(values.map(value => symbols(value.label))),
      ` n/a: ${text(note).replace(/ \([^()]*\)$/, "")}`)), // the mend, in brackets, is shown where one points at it
  ].filter(Boolean));
}

const joined = (parts, between = ", ") => parts.flatMap((part, i) => (i ? [between, part] : [part]));

// what is to be said of a row alone, as [note, the values it is about] in the order of the table
function ownNotes(row, values) {
  const shared = notesOfData.get(dataOf(row)) || [];
  const about = new Map(row.notes.filter(note => !shared.includes(note)).map(note => [note, []]));
  for (const value of values)
    for (const note of (cellOf(row, value) && cellOf(row, value).notes) || []) about.set(note, [...(about.get(note) || []), value]);
  return [...about];
}

const saidNote = ([note, about]) => [about.length ? [joined(about.map(value => symbols(value.label))), ": "] : [], rich(note)];

// one letter for all that is to be said of a row; rows of which the same is to be said share it
function showNotes(rows, values) {
  const shown = new Set(rows.filter(row => row.kind !== "printed").map(dataOf));
  const letterOf = new Map(), said = new Map(); // row → letter; the notes of a row as text → the notes
  for (const row of rows) {
    const own = ownNotes(row, values), key = JSON.stringify(own.map(([note, about]) => [note, about.map(value => value.name)]));
    if (!own.length) continue;
    if (!said.has(key)) said.set(key, own);
    letterOf.set(row, letters([...said.keys()].indexOf(key)));
  }
  find("notes").replaceChildren(
    ...[...notesOfData].filter(([name, notes]) => notes.length && shown.has(name)).map(([name, notes]) =>
      make("li", {}, make("b", {}, name), ": ", joined(notes.map(rich), "; "))),
    ...[...said.values()].map((own, place) => make("li", {}, make("b", {}, letters(place)), " ", joined(own.map(saidNote), "; "))));
  return letterOf;
}
