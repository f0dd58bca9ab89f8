// Where a method fails: its images at both ends of the error in stain, or its worst and best by another number.

const details = read("details");
const explorerLoaded = new Map(); // name → data, from page/<name>.js: a script, since files may not be fetched
let explorerNow = null;

function explorerData(name, data) {
  explorerLoaded.set(name, data);
  if (explorerNow && explorerNow.name === name) showImages();
}

function loadExplorer(offer) {
  if (explorerLoaded.has(offer.name)) return showImages();
  find("explorer-says").textContent = "Loading …";
  document.head.append(make("script", { src: `page/${encodeURIComponent(offer.name)}.js`, onerror: () => {
    find("explorer-says").textContent = `The folder page/ is not beside this file: its ${offer.name}.js is needed.`;
  } }));
}

// a picture that opens the full images. source: a small one beside the page, or null; large: the image itself
function picture(words, source, large, kind, open, ...over) {
  const image = make("img", { src: source || large, alt: words, loading: "lazy", decoding: "async",
    class: kind === "map" ? "dab" : null, onerror: () => {
      if (kind === "zoom") image.closest("button").remove(); // a part is not the whole
      else if (image.getAttribute("src") !== large) image.src = large; // the small one is missing: perhaps the image is not
      else image.replaceWith(make("span", { class: "absent" }, `not there: ${decodeURI(large)}`));
    } });
  return make("button", { type: "button", class: `picture ${kind}`, title: "Full size", onclick: open }, image, over);
}

function scaleBar([share, words]) {
  const bar = make("span", { class: "bar-of-length" }, words);
  bar.style.setProperty("--share", share);
  return bar;
}

function windowFrame([left, top, width, height]) {
  const frame = make("span", { class: "window" });
  Object.assign(frame.style, { left: `${100 * left}%`, top: `${100 * top}%`, width: `${100 * width}%`, height: `${100 * height}%` });
  return frame;
}

// an image of a tile: itself, beside it the part in its frame and the map of its DAB, below what it is
function tile({ name, href, small, stained, said }, pair, open) {
  const bars = pair.window ? [windowFrame(pair.window), scaleBar(pair.bar)] : [];
  const zoom = small && pair.window ? picture(`${name}, enlarged`, `${small}-zoom.jpg`, href, "zoom", open, scaleBar(pair.zoom)) : null;
  const map = stained && find("explorer-dab").checked ? picture(`DAB, ${name}`, small && `${small}.jpg`, href, "map", open) : null;
  const figure = make("figure", { class: "tile" },
    make("div", { class: "side-by-side" }, picture(name, small && `${small}.jpg`, href, "whole", open, bars),
      zoom || map ? make("div", { class: "beside" }, zoom, map) : null),
    make("figcaption", {}, make("b", {}, name), make("span", {}, `${explorerNow.stain}, ${pair.id}`), said ? make("span", {}, said) : null));
  if (pair.shape) figure.style.setProperty("--shape", pair.shape);
  return figure;
}

function strip([number, value], data, run, column) {
  const pair = data.pairs[number], beside = part => `${data.small}${part}-${number}`;
  const title = explorerNow.methods[find("explorer-method").value].title;
  const images = [
    { name: "H&E", href: pair.he, small: beside("he"), stained: false },
    { name: title, href: run.fakes[number], small: run.small && `${run.small}${number}`, stained: true, said: run.said[number] },
    { name: "Real IHC (adjacent)", href: pair.ihc, small: beside("ihc"), stained: true, said: run.real[number] },
    { name: "True IHC", href: pair.truth, small: beside("truth"), stained: true },
  ].filter(({ href }) => href);
  const words = `${pair.id}${pair.slide ? `, slide ${pair.slide}` : ""}`, { label, unit } = explorerNow.columns[column];
  const open = () => openViewer(words, images.map(({ name, href, stained }) => [name, href, stained]));
  return make("div", { class: "strip" }, make("p", {}, make("b", {}, words), ": ", symbols(label), ` ${value} ${unit}`),
    make("div", { class: images.length > 3 ? "pictures four" : "pictures" }, images.map(image => tile(image, pair, open))));
}

function showImages() {
  const data = explorerLoaded.get(explorerNow.name), run = data && data.runs[find("explorer-seed").value];
  const column = find("explorer-column").value;
  if (!data || !run) return;
  const chosen = run.chosen[column];
  find("explorer-says").textContent = chosen ? "" : "This run has no such number.";
  find("explorer-images").replaceChildren(...(chosen || []).flatMap(([heading, images]) => images.length
    ? [make("h3", {}, heading), ...images.map(image => strip(image, data, run, column))] : []));
}

function offerSeeds() {
  const method = explorerNow.methods[find("explorer-method").value];
  options(find("explorer-seed"), method ? method.runs : []);
  hideUnlessChoice(find("explorer-seed"), method ? method.runs.length : 0);
}

const hasExplorer = offer => offer.methods.length > 0 && Object.keys(offer.columns).length > 0;

function showExplorer(detail) {
  explorerNow = detail.explorer;
  find("explorer-images").replaceChildren();
  options(find("explorer-method"), explorerNow.methods.map((method, i) => [i, method.title]));
  options(find("explorer-column"), Object.entries(explorerNow.columns).map(([name, { label }]) => [name, plain(label)]));
  hideUnlessChoice(find("explorer-method"), explorerNow.methods.length);
  hideUnlessChoice(find("explorer-column"), Object.keys(explorerNow.columns).length);
  offerSeeds();
  if (hasExplorer(explorerNow)) loadExplorer(explorerNow);
}

function startExplorer() {
  find("explorer-method").addEventListener("change", () => { offerSeeds(); showImages(); });
  for (const name of ["seed", "column", "dab"]) find("explorer-" + name).addEventListener("change", showImages);
}
