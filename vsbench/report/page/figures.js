// The figures of a data set and stain; their images are read when they are shown.

function showFigures(place) {
  const figures = read(`figures-${place}`);
  find("figures").querySelector("div").replaceChildren(...figures.map(figure =>
    make("figure", {},
      make("img", { src: figure.image, width: figure.size[0] / 2, height: figure.size[1] / 2, alt: plain(figure.caption),
        loading: "lazy", decoding: "async" }),
      make("figcaption", {}, symbols(figure.caption), figure.missing.length ? ` Without ${figure.missing.join("; ")}.` : "",
        figure.files.flatMap(([name, href]) => [" ", make("a", { href }, name)])))));
}
