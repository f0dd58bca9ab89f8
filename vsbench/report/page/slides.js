// Whole slides: what lies left of a border shows one image, what lies right of it another; both move as one.

let slidesNow = null, slideView = null, slideShown = null;

function loadSlides(offer) {
  slidesNow = offer;
  options(find("slide"), offer.slides.map((slide, i) => [i, slide.id]));
  hideUnlessChoice(find("slide"), offer.slides.length);
  offerLayers();
  if (window.OpenSeadragon) return showSlide();
  document.head.append(make("script", { src: "page/openseadragon.min.js", onload: showSlide, onerror: () => {
    find("slide-says").textContent = "The folder page/ is not beside this file: its openseadragon.min.js is needed.";
  } }));
}

const slideNow = () => slidesNow.slides[find("slide").value];

// H&E on the left and the first method on the right, unless another choice is there still
function offerLayers() {
  const layers = slideNow().layers;
  for (const [side, usual] of [["left", 0], ["right", Math.min(1, layers.length - 1)]]) {
    const select = find("slide-" + side), before = select.selectedOptions[0] && select.selectedOptions[0].textContent;
    options(select, layers.map((layer, i) => [i, layer.title]));
    const same = layers.findIndex(layer => layer.title === before);
    select.value = same < 0 ? usual : same;
  }
}

function sourceOf(slide, layer) {
  const source = new OpenSeadragon.TileSource({ width: slide.width, height: slide.height, tileSize: slidesNow.tile,
    tileOverlap: slidesNow.overlap, minLevel: slide.first, maxLevel: slide.last });
  const within = source.tileExists.bind(source);
  source.getTileUrl = (level, x, y) => `${layer.folder}/${level}/${x}_${y}.jpg`;
  source.tileExists = (level, x, y) => within(level, x, y) && layer.tiles[level - slide.first][y][x] === "1"; // else white
  return source;
}

function openView() {
  // it would add a style of its own, which the page's policy blocks, unless it finds it there
  document.querySelector("style").setAttribute("data-openseadragon-mobile-css", "");
  slideView = OpenSeadragon({ element: find("slide-view"), drawer: "canvas", showNavigationControl: false, animationTime: 0.3,
    maxZoomPixelRatio: 4, visibilityRatio: 0.3, minZoomImageRatio: 0.7, gestureSettingsMouse: { clickToZoom: false } });
  slideView.addHandler("viewport-change", placeBorder);
  slideView.addHandler("resize", () => setTimeout(placeBorder));
  slideView.addHandler("canvas-key", event => { // 0 fits, as it does in the other viewer
    if (event.originalEvent.key !== "0") return;
    slideView.viewport.goHome();
    event.preventDefaultAction = true;
  });
}

function showSlide() {
  const slide = slideNow(), sides = ["left", "right"].map(side => slide.layers[find("slide-" + side).value]);
  if (!slideView) openView();
  slideView.world.removeAll();
  const other = slideShown !== slide;
  slideShown = slide;
  sides.forEach((layer, index) => slideView.addTiledImage({ tileSource: sourceOf(slide, layer), index, success: () => {
    if (other && index === 0) slideView.viewport.goHome(true);
    placeBorder();
  } }));
  ["left", "right"].forEach((side, i) => { find("slide-name-" + side).textContent = sides[i].title; });
  find("slide-says").textContent = `${slidesNow.said}; at most ${slide.pixel.toPrecision(3)} µm a pixel.`;
}

// the images end at the border, wherever it lies on them by now
function placeBorder() {
  const share = find("slide-border").value / 100, view = slideView.viewport;
  find("slide-stage").style.setProperty("--border", share);
  for (let i = 0; i < slideView.world.getItemCount(); i++) {
    const item = slideView.world.getItemAt(i), size = item.getContentSize();
    const at = view.viewerElementToViewportCoordinates(new OpenSeadragon.Point(share * view.getContainerSize().x, 0));
    const x = Math.min(Math.max(item.viewportToImageCoordinates(at).x, 0), size.x);
    const [from, to] = i === 0 ? [0, x] : [x, size.x];
    item.setOpacity(to - from < 1 ? 0 : 1); // nothing of it is in sight
    if (to - from >= 1) item.setClip(new OpenSeadragon.Rect(from, 0, to - from, size.y));
  }
  if (slideView.world.getItemCount()) showBar(view);
}

function showBar(view) {
  const pixels = slideView.world.getItemAt(0).viewportToImageZoom(view.getZoom(true)); // of the screen to one of the image
  const wanted = 120 * slideShown.pixel / pixels, tens = 10 ** Math.floor(Math.log10(wanted)); // µm of 120 pixels
  const length = tens * [5, 2, 1].find(step => step * tens <= wanted);
  find("slide-bar").textContent = length >= 1000 ? `${length / 1000} mm` : `${length} µm`;
  find("slide-bar").style.width = `${length * pixels / slideShown.pixel}px`;
}

function startSlides() {
  const stage = find("slide-stage"), line = find("slide-line"), border = find("slide-border");
  find("slide").addEventListener("change", () => { offerLayers(); showSlide(); });
  for (const side of ["left", "right"]) find("slide-" + side).addEventListener("change", showSlide);
  border.addEventListener("input", placeBorder);
  line.addEventListener("pointerdown", event => { line.setPointerCapture(event.pointerId); event.preventDefault(); });
  line.addEventListener("pointermove", event => {
    if (!line.hasPointerCapture(event.pointerId)) return;
    const box = stage.getBoundingClientRect();
    border.value = 100 * (event.clientX - box.left) / box.width;
    placeBorder();
  });
}
