// Which method: in how many resamples each is first, second, …

const places = count => ["1st", "2nd", "3rd"][count - 1] || `${count}th`;

function shareBar(shares) {
  const bar = make("div", { class: "bar", "aria-hidden": "true" });
  shares.forEach((share, i) => {
    const piece = make("span", {}, share >= 0.12 ? places(i + 1) : "");
    piece.style.flexGrow = share;
    piece.style.setProperty("--depth", shares.length > 1 ? 1 - i / (shares.length - 1) : 1);
    if (share > 0) bar.append(piece);
  });
  return bar;
}

const hasRanks = value => value.ranks.some(rank => rank.shares.length);

function rankRow({ method, shares, said, mark, p }, ranked, others) {
  const best = mark === "best" ? "★ best mean" : others ? "best mean" : "no other to compare with";
  const sign = !p ? best : `${mark === "alike" ? "≈ " : ""}p ${p.startsWith("<") ? p : `= ${p}`}`;
  return make("tr", {}, make("th", { scope: "row" }, method), make("td", { class: mark }, sign),
    ranked ? make("td", {}, shares.length ? [shareBar(shares), make("small", {}, said)] : "no ranks") : null);
}

function showDecision({ decision }) {
  const parts = decision ? [] : [make("p", {}, "No decision was made for these results.")];
  const cautions = decision ? decision.values.map(value => value.caution.split("; ").filter(Boolean)) : [];
  const common = (cautions[0] || []).filter(words => cautions.every(own => own.includes(words))); // said once
  if (common.length) parts.push(make("p", { class: "caution" }, common.join("; ")));
  for (const value of decision ? decision.values : []) {
    parts.push(make("h3", {}, symbols(value.label), ` ${BETTER[value.best][0]}`), make("p", {}, symbols(value.says)));
    const own = value.caution.split("; ").filter(words => words && !common.includes(words));
    if (own.length) parts.push(make("p", { class: "caution" }, own.join("; ")));
    const heads = ["Method", "Against the best", "Rank, in what share of resamples"].slice(0, hasRanks(value) ? 3 : 2);
    parts.push(make("table", { class: "ranks" }, make("thead", {}, make("tr", {},
      ...heads.map(words => make("th", { scope: "col" }, words)))),
      make("tbody", {}, value.ranks.map(rank => rankRow(rank, hasRanks(value), value.ranks.length > 1)))));
  }
  if (decision && decision.notes.length) parts.push(list(decision.notes));
  find("decision").querySelector("div").replaceChildren(...parts);
}
