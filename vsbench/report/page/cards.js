// What a reader must know of each method, data set and paper.

function showCards() {
  const cards = read("cards");
  const card = ({ title, lines }) => make("details", {}, make("summary", {}, title),
    definitions(lines.map(([name, texts]) => [name, ...texts])));
  const group = (title, found) => found.length ? [make("h3", {}, title), ...found.map(card)] : [];
  find("cards").querySelector("div").replaceChildren(...group("Methods", cards.methods),
    ...group("Data sets", cards.datasets), ...group("Papers", cards.papers));
}
