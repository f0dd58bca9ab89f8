// Full images side by side, moved and enlarged as one.

const view = { scale: 1, x: 0, y: 0 }; // x, y: shift in shares of a pane
const STEP = 1.25, MOST = 32;
const pointers = new Map();

function applyView() {
  view.scale = Math.min(Math.max(view.scale, 1), MOST);
  find("panes").classList.toggle("enlarged", view.scale > 1); // until then a swipe scrolls the dialog
  for (const axis of ["x", "y"]) view[axis] = Math.min(Math.max(view[axis], 1 - view.scale), 0); // no empty margin
  for (const image of find("panes").querySelectorAll("img")) {
    image.style.transform = `translate(${100 * view.x}%, ${100 * view.y}%) scale(${view.scale})`;
    image.style.imageRendering = view.scale > 4 ? "pixelated" : "auto";
  }
}

// keeps the place (px, py), in shares of a pane, where it is
function zoom(factor, px = 0.5, py = 0.5) {
  const scale = Math.min(Math.max(view.scale * factor, 1), MOST), change = scale / view.scale;
  Object.assign(view, { scale, x: px - (px - view.x) * change, y: py - (py - view.y) * change });
  applyView();
}

function within(event) {
  const pane = event.target.closest(".pane");
  if (!pane) return [0.5, 0.5];
  const box = pane.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

function viewerKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const move = { ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
  if (move) { view.x += move[0]; view.y += move[1]; applyView(); }
  else if (event.key === "+" || event.key === "=") zoom(STEP);
  else if (event.key === "-") zoom(1 / STEP);
  else if (event.key === "0") { Object.assign(view, { scale: 1, x: 0, y: 0 }); applyView(); }
  else if (event.key.toLowerCase() === "d") find("panes").classList.toggle("maps");
  else return;
  event.preventDefault();
}

function drag(event) {
  const last = pointers.get(event.pointerId);
  if (!last) return;
  const box = find("panes").querySelector(".pane").getBoundingClientRect(), others = [...pointers.values()];
  if (pointers.size === 2) {
    const far = points => Math.hypot(points[0].x - points[1].x, points[0].y - points[1].y);
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    zoom(far([...pointers.values()]) / Math.max(far(others), 1), ...within(event));
    return;
  }
  view.x += (event.clientX - last.x) / box.width;
  view.y += (event.clientY - last.y) / box.height;
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  applyView();
}

// images: [[title, address, is IHC], …]
function openViewer(title, images) {
  find("viewer-title").textContent = title;
  find("panes").classList.remove("maps");
  find("panes").replaceChildren(...images.map(([name, href, stained]) => {
    const frame = make("div", { class: "pane" }), link = make("a", { href, target: "_blank" }, "file");
    frame.append(make("img", { src: href, alt: name, draggable: "false", class: stained ? "stained" : null,
      onerror: () => frame.replaceChildren(make("p", { class: "absent" }, `not there: ${decodeURI(href)}`)) }));
    return make("figure", {}, frame, make("figcaption", {}, name, " ", link));
  }));
  Object.assign(view, { scale: 1, x: 0, y: 0 });
  pointers.clear();
  openDialog(find("viewer"));
  find("panes").focus({ preventScroll: true }); // the × and the title stay in sight
  find("viewer").scrollTop = 0;
}

function startViewer() {
  const panes = find("panes");
  find("viewer").addEventListener("keydown", viewerKey);
  panes.addEventListener("wheel", event => {
    event.preventDefault();
    zoom(event.deltaY < 0 ? STEP : 1 / STEP, ...within(event));
  }, { passive: false });
  panes.addEventListener("pointerdown", event => {
    if (!event.target.closest(".pane")) return;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    event.target.setPointerCapture(event.pointerId);
  });
  panes.addEventListener("pointermove", drag);
  for (const end of ["pointerup", "pointercancel"]) panes.addEventListener(end, event => pointers.delete(event.pointerId));
}
