"""The form readers fill in, as one HTML page: no network, no library; what it must know lies in it as JSON.

Texts reach the page as text only (``textContent``), and the JSON can't end its script: names and questions are never
read as HTML.
"""

import json
from typing import Any


def page(study: dict[str, Any]) -> str:
    """The form for ``{"study", "questions", "items": [{"name", "marker", "image", "he"}]}``; ``he`` may be None.

    ``image`` and ``he`` are addresses relative to the page, or data URIs.
    """
    content = json.dumps(study).replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")
    return PAGE.replace("/*style*/", STYLE).replace("/*script*/", SCRIPT).replace("{study}", content)


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Reader study</title>
<style>/*style*/</style>
</head>
<body>
<form id="start">
<h1>Reader study</h1>
<p>Score each image from 1 to 5. Scores are kept in this browser: you may close the page and go on later, here and
under the same name. At the end save the scores as a CSV file, and send it back.</p>
<p>Keys: <kbd>1</kbd>–<kbd>5</kbd> score, <kbd>←</kbd> <kbd>→</kbd> image, <kbd>↑</kbd> <kbd>↓</kbd> question.
<kbd>Z</kbd> or a click
on an image: its full size.</p>
<label>Your name or number <input id="reader" required maxlength="60" autocomplete="off"></label>
<button>Start</button>
</form>
<main id="work" hidden>
<p><span id="place"></span> <progress id="progress" value="0" max="1"></progress></p>
<div id="images">
<figure id="beside" hidden><img id="he" alt="H&amp;E of the same tissue"><figcaption>H&amp;E</figcaption></figure>
<figure><img id="image" alt="Image to be scored"><figcaption id="what"></figcaption></figure>
</div>
<div id="questions"></div>
<nav><button id="back">← Back</button> <button id="next">Next →</button>
<button id="open">First without score</button> <button id="save">Save scores as CSV</button></nav>
<p id="note" role="status"></p>
</main>
<noscript>This form needs JavaScript; it loads nothing from elsewhere.</noscript>
<script type="application/json" id="study">{study}</script>
<script>/*script*/</script>
</body>
</html>
"""

STYLE = """
body { font: 16px/1.4 system-ui, sans-serif; margin: 0 auto; padding: .5rem 1rem; max-width: 80rem; color: #1c1c1c }
[hidden] { display: none !important }
#images { display: flex; flex-wrap: wrap; gap: .5rem }
figure { margin: 0; flex: 1 1 20rem; overflow: auto; max-height: 90vh }
img { display: block; width: 100%; max-height: 65vh; object-fit: contain; cursor: zoom-in }
img.full { width: auto; max-height: none; max-width: none; cursor: zoom-out }
figcaption { font-size: .85rem }
fieldset { border: 2px solid #ddd; border-radius: .4rem; margin: .5rem 0; padding: .3rem .6rem }
fieldset.asked { border-color: #0072b2 }
button { font: inherit; min-width: 3rem; min-height: 2.75rem; margin: .15rem; touch-action: manipulation }
fieldset button[aria-pressed=true] { background: #0072b2; color: #fff }
input { font: inherit; padding: .4rem } nav { margin: .5rem 0 }
@media (max-width: 40rem) { figure { flex-basis: 9rem } } /* side by side on a phone, with the scores in sight */
"""

SCRIPT = """
"use strict";
const find = id => document.getElementById(id);
const study = JSON.parse(find("study").textContent);
const questions = study.questions.map((text, number) => ({ text, name: "q" + (number + 1) }));
let reader = "", scores = {}, at = 0, asked = 0;

const place = () => "vsbench-reader-study/" + study.study + "/" + reader;
const given = item => scores[item.name] || {};
const open = item => questions.findIndex(question => !(question.name in given(item)));
const buttons = () => [...document.querySelectorAll("#questions button")];
const enlarge = id => find(id).classList.toggle("full");
const say = text => { find("note").textContent = text; };

function keep() {
  try { localStorage.setItem(place(), JSON.stringify(scores)); }
  catch { say("This browser keeps nothing: save the scores as CSV before you close the page."); }
}

function go(to) {
  at = Math.min(Math.max(to, 0), study.items.length - 1);
  asked = Math.max(open(study.items[at]), 0);
  show();
  if (at + 1 < study.items.length) new Image().src = study.items[at + 1].image;
}

function score(number, value) {
  const item = study.items[at], name = questions[number].name, fresh = !(name in given(item));
  scores[item.name] = { ...given(item), [name]: value };
  say("");
  keep();
  asked = open(item) < 0 ? number : open(item);
  if (fresh && open(item) < 0 && at + 1 < study.items.length) return go(at + 1);
  show();
}

function ask(question, number) {
  const box = document.createElement("fieldset"), legend = document.createElement("legend");
  legend.textContent = question.text;
  box.append(legend);
  box.classList.toggle("asked", number === asked);
  for (const value of [1, 2, 3, 4, 5]) {
    const button = document.createElement("button");
    button.textContent = value;
    button.setAttribute("aria-pressed", given(study.items[at])[question.name] === value);
    button.addEventListener("click", () => score(number, value));
    box.append(button);
  }
  return box;
}

function show() {
  const item = study.items[at], done = study.items.filter(item => open(item) < 0).length;
  find("place").textContent = `Image ${at + 1} of ${study.items.length}, ${done} scored`;
  find("what").textContent = [item.marker, "to be scored"].filter(Boolean).join(", ");
  find("progress").value = done / study.items.length;
  for (const [id, source] of [["image", item.image], ["he", item.he]]) {
    if (source && find(id).getAttribute("src") !== source) {
      find(id).className = "";
      find(id).src = source;
    }
  }
  find("beside").hidden = !item.he;
  const held = buttons().indexOf(document.activeElement);
  find("questions").replaceChildren(...questions.map(ask));
  if (held >= 0) buttons()[held].focus();
  if (done === study.items.length && !find("note").textContent) say("All scored: now save the scores as CSV.");
}

function save() {
  const neutral = text => /^'*[=+\\-@\\t\\r]/.test(text) ? "'" + text : text;  // for a spreadsheet no formula
  const quoted = text => '"' + neutral(String(text)).replaceAll('"', '""') + '"';
  const lines = [["study", "reader", "item", "question", "score"]];
  for (const item of study.items)
    for (const question of questions)
      if (question.name in given(item))
        lines.push([study.study, quoted(reader), item.name, question.name, given(item)[question.name]]);
  const text = lines.map(line => line.join(",") + "\\r\\n").join(""), link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = `scores-${study.study}-${reader.replace(/[^\\w-]+/g, "_")}.csv`;
  link.click();
  const left = study.items.filter(item => open(item) >= 0).length;
  say(left ? `Saved, but ${left} images are without a score: only whole forms count.` : "Saved. Thank you.");
}

find("start").addEventListener("submit", event => {
  event.preventDefault();
  reader = find("reader").value.trim();
  if (!reader) return;
  find("start").hidden = true;
  find("work").hidden = false;
  try { scores = JSON.parse(localStorage.getItem(place()) || "{}"); } catch { scores = {}; }
  keep();
  go(Math.max(study.items.findIndex(item => open(item) >= 0), 0));
});
find("back").addEventListener("click", () => go(at - 1));
find("next").addEventListener("click", () => go(at + 1));
find("open").addEventListener("click", () => go(Math.max(study.items.findIndex(item => open(item) >= 0), 0)));
find("save").addEventListener("click", save);
for (const id of ["image", "he"]) find(id).addEventListener("click", () => enlarge(id));
document.addEventListener("keydown", event => {
  if (find("work").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  const turn = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (/^[1-5]$/.test(event.key)) event.repeat || score(asked, Number(event.key)); // a held key is one score
  else if (event.key === "z") ["image", "he"].forEach(enlarge);
  else if (event.key === "ArrowLeft") go(at - 1);
  else if (event.key === "ArrowRight") go(at + 1);
  else if (turn) { asked = (asked + turn + questions.length) % questions.length; show(); }
  else return;
  event.preventDefault();
});
"""
