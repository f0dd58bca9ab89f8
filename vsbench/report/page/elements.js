"use strict";
// Elements are made of text only: whatever a name from a folder holds, it stays text.

const find = id => document.getElementById(id);
const read = name => JSON.parse(find("data-" + name).textContent); // what is embedded in the page

// make("a", {href: …}, "text", child, …): attributes by name, "on…" as listeners; null attributes are left out
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined));
  return element;
}

// a label as notation.markup gives it: [element, text] pairs
const symbols = label => label.map(([name, text]) => (name ? make(name, {}, text) : text));
const plain = label => label.map(([, text]) => text).join("");

// of a value's "best": its sign, and in words
const BETTER = { low: ["↓", "lower"], high: ["↑", "higher"], zero: ["→ 0", "nearer to zero"] };

const options = (select, pairs) =>
  select.replaceChildren(...pairs.map(([value, text]) => make("option", { value }, text)));

// a menu without a choice is not shown
const hideUnlessChoice = (select, choices) => { select.closest("label").hidden = choices < 2; };

// a hidden text for those who listen
const spoken = text => make("span", { class: "spoken" }, text);

const list = items => make("ul", {}, items.map(item => make("li", {}, item)));

function letters(number) {
  const last = String.fromCharCode(97 + (number % 26));
  return number < 26 ? last : letters(Math.floor(number / 26) - 1) + last;
}

function openDialog(dialog) {
  dialog.showModal();
  dialog.querySelector("h2").focus();
}

for (const dialog of document.querySelectorAll("dialog")) {
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", event => { if (event.target === dialog) dialog.close(); }); // beside it
}
