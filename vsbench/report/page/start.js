// Fills the page: the table at once, what lies below it when the browser has time.

function showComparison() {
  const place = Number(find("comparison").value), detail = details[place];
  find("warnings").replaceChildren(...detail.warnings.map(warning => make("li", {}, warning)));
  showDecision(detail);
  showFigures(place);
  showExplorer(detail);
}

const kinds = new Map();
for (const row of board.rows) kinds.set(row.kind, (kinds.get(row.kind) || 0) + 1);
find("scope").textContent = `${details.length} data set${details.length === 1 ? "" : "s"} and stain${details.length === 1 ? "" : "s"} · `
  + [...kinds].map(([kind, count]) => `${count} ${kind}`).join(", ") + " rows";
options(find("comparison"), details.map((detail, i) => [i, `${detail.dataset}, ${detail.explorer.stain}`]));
find("comparison").addEventListener("change", showComparison);
const heat = read("heat"), colours = heat.colours.map(colour => `rgb(${colour.join(" ")})`);
document.documentElement.style.setProperty("--heat", `linear-gradient(to right, ${colours.join(", ")})`);
find("explorer-scale").append("OD 0", make("span"), `${heat.full} and more`);
startLeaderboard();
startExplorer();
startViewer();
showCards();
if (details.length) addEventListener("DOMContentLoaded", showComparison); // the figures follow this script
addEventListener("beforeprint", () => {
  document.querySelectorAll("#cards details").forEach(card => { card.open = true; });
  document.querySelector(".scroll").scrollTo(0, 0); // paper has room for all of it
});
