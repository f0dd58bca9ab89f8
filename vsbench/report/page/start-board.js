// Fills the board: its table, and what the kinds of rows mean.

const states = read("states");
const counted = new Map();
for (const row of board.rows) counted.set(row.kind, (counted.get(row.kind) || 0) + 1);
find("scope").textContent = `${distinct(board.rows.map(dataOf)).size} data sets and stains · `
  + [...counted].map(([kind, count]) => `${count} ${kind}`).join(", ") + " rows";
find("states").querySelector("dl").replaceChildren(...states.flatMap(([name, says]) => [make("dt", {}, name), make("dd", {}, says)]));
startLeaderboard();
addEventListener("beforeprint", () => document.querySelector(".scroll").scrollTo(0, 0)); // paper has room for all of it
