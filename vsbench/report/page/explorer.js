// Where a method fails: its worst, median and best images by a number of each image.

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

// small: a small picture beside the page, or null; large: the image itself; map: as DAB map
function picture(name, small, large, map, open) {
  const words = map ? `DAB, ${name}` : name;
  const image = make("img", { src: small || large, alt: "", loading: "lazy", decoding: "async",
    class: map ? "dab" : null, onerror: () => {
      if (image.getAttribute("src") !== large) image.src = large; // the small one is missing: perhaps the image is not
      else image.replaceWith(make("span", { class: "absent" }, `not there: ${decodeURI(large)}`));
    } });
  return make("button", { type: "button", class: "picture", title: "Full size", onclick: open }, image,
    make("span", {}, words));
}

function strip([number, value], data, run, column) {
  const pair = data.pairs[number], offer = explorerNow;
  const images = [["H&E", "he", pair.he, false], ["generated", null, run.fakes[number], true],
    ["real IHC", "ihc", pair.ihc, true], ["true IHC", "truth", pair.truth, true]].filter(([, , href]) => href);
  const title = `${pair.id}${pair.slide ? `, slide ${pair.slide}` : ""}`;
  const open = () => openViewer(title, images.map(([name, , href, stained]) => [name, href, stained]));
  const small = part => part ? `${data.small}${part}-${number}.jpg` : run.small ? `${run.small}${number}.jpg` : null;
  const { label, unit } = offer.columns[column], maps = find("explorer-dab").checked ? images.filter(image => image[3]) : [];
  return make("div", { class: "strip" },
    make("p", {}, make("b", {}, title), ": ", symbols(label), ` ${value} ${unit}`),
    make("div", { class: "pictures" },
      images.map(([name, part, href]) => picture(name, small(part), href, false, open)),
      maps.map(([name, part, href]) => picture(name, small(part), href, true, open))));
}

function showImages() {
  const data = explorerLoaded.get(explorerNow.name), run = data && data.runs[find("explorer-seed").value];
  const column = find("explorer-column").value;
  if (!data || !run) return;
  const chosen = run.chosen[column];
  find("explorer-says").textContent = chosen ? "" : "This run has no such number.";
  const groups = chosen ? chosen.map((images, i) => images.length ? [make("h3", {}, ["Worst", "Median", "Best"][i]),
    ...images.map(image => strip(image, data, run, column))] : []) : [];
  find("explorer-images").replaceChildren(...groups.flat());
}

function offerSeeds() {
  const method = explorerNow.methods[find("explorer-method").value];
  options(find("explorer-seed"), method ? method.runs : []);
}

function showExplorer(detail) {
  explorerNow = detail.explorer;
  find("explorer-images").replaceChildren();
  options(find("explorer-method"), explorerNow.methods.map((method, i) => [i, method.title]));
  options(find("explorer-column"), Object.entries(explorerNow.columns).map(([name, { label }]) => [name, plain(label)]));
  offerSeeds();
  if (explorerNow.methods.length && Object.keys(explorerNow.columns).length) loadExplorer(explorerNow);
  else find("explorer-says").textContent = "No method here has a table of single images.";
}

function startExplorer() {
  find("explorer-method").addEventListener("change", () => { offerSeeds(); showImages(); });
  for (const name of ["seed", "column", "dab"]) find("explorer-" + name).addEventListener("change", showImages);
}
