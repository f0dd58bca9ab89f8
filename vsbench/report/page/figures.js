// The figures of a data set and stain; their images are read when they are shown.

// the parts of one figure have one caption
const isSaid = (figures, i) => i > 0 && plain(figures[i].caption) === plain(figures[i - 1].caption);

function showFigures(place) {
  const figures = read(`figures-${place}`);
  find("figures").querySelector("div").replaceChildren(...figures.map((figure, i) =>
    make("figure", { class: figure.wide ? "wide" : null },
      make("div", {}, make("img", { src: figure.image, width: figure.size[0] / 2, height: figure.size[1] / 2,
        alt: plain(figure.caption), loading: "lazy", decoding: "async" })),
      make("figcaption", {}, isSaid(figures, i) ? "As above." : symbols(figure.caption), figure.missing.length ? ` Without ${figure.missing.join("; ")}.` : "",
        figure.files.flatMap(([name, href]) => [" ", make("a", { href }, name)])))));
}
