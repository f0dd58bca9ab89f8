// Fills the page: the table at once, what lies below it when the browser has time.

function showComparison() {
  const place = Number(find("comparison").value), detail = details[place];
  find("warnings").replaceChildren(...detail.warnings.map(warning => make("li", {}, warning)));
  find("figures").hidden = !read(`figures-${place}`).length;
  find("explorer").hidden = !hasExplorer(detail.explorer);
  find("slides").hidden = !(detail.slides && detail.slides.slides.length);
  for (const part of ["figures", "explorer", "slides"]) document.querySelector(`nav a[href="#${part}"]`).hidden = find(part).hidden;
  showDecision(detail);
  showFigures(place);
  showExplorer(detail);
  if (!find("slides").hidden) loadSlides(detail.slides);
}

const kinds = new Map();
for (const row of board.rows) kinds.set(row.kind, (kinds.get(row.kind) || 0) + 1);
find("scope").textContent = `${details.length} data set${details.length === 1 ? "" : "s"} and stain${details.length === 1 ? "" : "s"} · `
  + [...kinds].map(([kind, count]) => `${count} ${kind}`).join(", ") + " rows";
options(find("comparison"), details.map((detail, i) => [i, `${detail.dataset}, ${detail.explorer.stain}`]));
find("comparison").addEventListener("change", showComparison);
find("chosen").hidden = details.length < 2; // what is to be said of the only one stands above the table
const heat = read("heat"), colours = heat.colours.map(colour => `rgb(${colour.join(" ")})`);
document.documentElement.style.setProperty("--heat", `linear-gradient(to right, ${colours.join(", ")})`);
document.documentElement.style.setProperty("--positive", heat.positive / heat.full);
for (const place of document.querySelectorAll(".scale"))
  place.append("DAB maps: OD 0", make("span"), `${heat.full} and more; coloured where a pixel counts as stained, from ${heat.positive.toFixed(2)} on`);
startLeaderboard();
startExplorer();
startViewer();
startSlides();
showCards();
if (details.length) addEventListener("DOMContentLoaded", showComparison); // the figures follow this script
addEventListener("beforeprint", () => {
  document.querySelectorAll("#cards details").forEach(card => { card.open = true; });
  document.querySelector(".scroll").scrollTo(0, 0); // paper has room for all of it
});
