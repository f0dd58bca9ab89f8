"""The audit as a page: first what is wrong, then Table I, then the evidence with the worst cases in pictures."""

from collections.abc import Iterable, Sequence
from math import hypot
from statistics import median
from typing import Any

from vsbench.audit import fingerprints, registration, slides
from vsbench.audit.document import Figure, Heading, Page, Table, Text
from vsbench.audit.duplicates import SAME, WHOLE, Duplicate
from vsbench.audit.mismatched import ALLOWED, PAIRS
from vsbench.audit.nuclei import BLOCKS
from vsbench.audit.run import Audit
from vsbench.audit.tiles import BLANK, KINDS, SHIFTED, SIDE, TileRow
from vsbench.markers import stain_name
from vsbench.stain import light

WORST = 6  # pictures of a kind
TOLD = 0.02  # of the density that light must explain to be told; JPEG leaves about so much in doubt
LISTED = 20  # rows of a table; the CSV files hold them all

METHOD = (
    f"All but the paired rate is measured on images reduced to at most {SIDE} pixels a side by averaging.",
    f"Tissue in common: windows of {fingerprints.WINDOW} pixels around conspicuous points are hashed (pHash); where "
    f"{fingerprints.VOTES} or more windows of two tiles differ in at most {fingerprints.MOST_BITS} of 63 bits, and "
    "agree on the shift, the tiles are registered by phase correlation, and count where the fine structure of the "
    f"overlap correlates by {SAME} or more. From {WHOLE:.0%} of overlap they are called copies. Tiles turned or "
    "mirrored are not found.",
    "Light: the mean colour of the glass, found at full size where blocks of "
    f"{light.BLOCK} pixels and their neighbours are flat (standard deviation {light.FLAT:.0%} at most) and equally "
    f"bright (within {light.EVEN:.0%}), on {light.LEAST:.1%} of a tile or more; of a slide that of all its tiles, by "
    "how much glass they show; of the tile alone where the slide is unknown. The share of density that it explains: of "
    "the mean density of DAB as Fiji reads it, which takes 255 for glass, what goes when the light is taken for glass.",
    f"Blank: less than {BLANK:.0%} of the H&E or of the IHC holds stain, under that light; where no glass is in sight "
    "the light is taken for white.",
    f"Shift: phase correlation of haematoxylin and total density of H&E and IHC, up to {registration.REACH:.0%} of the "
    f"side. Confidence is the highest peak over the second. The level from which a shift is trusted is the set's own: "
    f"{registration.SURE}, or as high as leaves at most {ALLOWED:.0%} of {PAIRS} mismatched pairs above it (H&E and "
    "IHC of tiles of different slides; of different tiles where slides are unknown). Sections far apart share few "
    "nuclei: then nothing is known, and that is no fault of the pair.",
    f"A pair is shifted where a trusted shift exceeds 1/{round(1 / SHIFTED)} of the side: about a nucleus.",
    f"Drift: mean haematoxylin or eosin of a slide at least {slides.OUTLYING} robust standard deviations from the "
    "median slide. DAB is shown, but differs between patients anyway.",
)


def build_page(audits: Sequence[Audit], title: str, notes: Sequence[str] = ()) -> Page:
    """The page on a data set with this title. ``notes``: what its card warns of."""
    page = Page(f"Audit of {title}")
    said: dict[tuple[str, ...], list[str]] = {}  # of several stains often the same
    for audit in audits:
        said.setdefault(tuple(findings(audit)), []).append(stain_name(audit.stain))
    page.add(*(Text(f"{', '.join(stains)}:", sentences) for sentences, stains in said.items()))
    page.add(Heading("The data in numbers"), table_one(audits, title), *(Text(note) for note in notes))
    page.add(Heading("How well H&E and IHC match"), matching(audits))
    for audit in audits:
        sections = (_shared_slides, _leaks, _doubles, _blanks, _light, _shifts, _drift, _unreadable)
        evidence = [block for section in sections for block in section(audit)]
        page.add(*([Heading(f"{stain_name(audit.stain)}: evidence")] if evidence else []), *evidence)
    page.add(Heading("How it was measured"), Text("", METHOD))
    return page


def findings(audit: Audit) -> list[str]:
    """What is wrong, and what could not be known, one sentence each, the gravest first."""
    s = audit.summary
    n = len(audit.tiles)
    said = []
    if s["tile_pairs_across_splits"]:
        share = "" if s["test_share_leaking"] is None else f" ({s['test_share_leaking']:.1%} of the test pairs)"
        said.append(
            f"LEAK: {_n(s['test_pairs_leaking'], 'test pair')}{share} share tissue with another split, in "
            f"{_n(s['tile_pairs_across_splits'], 'pair')} of tiles"
        )
    if s["slides_shared"]:
        said.append(f"LEAK: {s['slides_shared']} of {_n(s['slides'], 'slide')} are in more than one split")
    if s["pairs_without_slide"]:
        said.append(f"the slide of {_n(s['pairs_without_slide'], 'pair')} is unknown: shared slides can't be ruled out")
    if s["tile_pairs_within_a_split"]:
        said.append(f"{_n(s['tile_pairs_within_a_split'], 'pair')} of tiles within a split share tissue")
    if s["shifted"]:
        said.append(f"{s['shifted']} of {_n(n, 'pair')} are shifted by more than a nucleus")
    if s["light_share_of_density"] is not None and s["light_share_of_density"] >= TOLD:
        shares = [row.ihc_light_share for row in audit.tiles if row.ihc_light_share is not None]
        said.append(
            f"glass is not white: light is {s['light_share_of_density']:.0%} of the density of DAB as Fiji reads it "
            f"({min(shares):.0%} to {max(shares):.0%} by tile); the balanced values leave it out"
        )
    if s["pairs_without_light"]:
        where = "on the slide" if s["slides"] else "on the tile"
        said.append(f"no glass in sight {where} of {_n(s['pairs_without_light'], 'pair')}: the light is unknown there")
    if s["blank"]:
        said.append(f"{s['blank']} of {_n(n, 'pair')} are blank on one side or both")
    if s["slides_drifting"]:
        said.append(f"{_n(len(s['slides_drifting']), 'slide')} stained unlike the rest")
    if s["unreadable"]:
        said.append(f"{_n(len(s['unreadable']), 'pair')} could not be read")
    said = said or ["nothing wrong was found"]
    return [*said, _registered(s, n)]


def _registered(s: dict[str, Any], n: int) -> str:
    """How many pairs could be registered, and how often that is said of unrelated tiles."""
    said = f"{s['registered']} of {_n(n, 'pair')} could be registered (confidence {s['shift_confidence']:.2f} or more)"
    others = "" if s["registered"] == n else "; of the others no shift is known"
    if s["false_alarm_rate"] is None:
        return f"{said}{others}; no mismatched pairs to tell how often that is by accident"
    return (
        f"{said}{others}; so could {s['mismatched_pairs_reached']} of {_n(s['mismatched_pairs'], 'mismatched pair')}: "
        f"false alarms {s['false_alarm_rate']:.1%}, at most {s['false_alarm_rate_at_most']:.1%} at 95 %"
    )


def table_one(audits: Sequence[Audit], title: str) -> Table:
    """Table I of the USIGAN paper; what is the same for all stains stands below it."""
    splits = sorted({split for audit in audits for split in audit.summary["pairs"]}, key=_train_first)
    rows = []
    for audit in audits:
        s = audit.summary
        n_slides = "n/a" if s["slides"] is None else str(s["slides"])
        pairs = [f"{s['pairs'].get(split, 0):,}" for split in splits]
        rows.append([title, stain_name(audit.stain), n_slides, *pairs, _percent(s["pearson_r"])])
    head = ["Dataset", "Staining type", "No. WSI", *(f"No. pairs ({split})" for split in splits), "Paired rate"]
    note = "As Table I of the USIGAN paper: the paired rate is Pearson's r of the grey levels of H&E and IHC, the mean "
    unknown = " n/a: the file names do not tell the slide." if any("n/a" in row for row in rows) else ""
    same = [len(rows) > 1 and len(set(column)) == 1 for column in zip(*rows, strict=True)]
    common = ", ".join(f"{name} {cell}" for name, cell, alike in zip(head, rows[0], same, strict=True) if alike)
    shown = [[cell for cell, alike in zip(row, same, strict=True) if not alike] for row in (head, *rows)]
    of_all = f"All: {common}. " if common else ""
    return Table(shown[0], shown[1:], f"{of_all}{note}over all pairs.{unknown}")


def matching(audits: Sequence[Audit]) -> Table:
    """How well the pairs of each stain match; ``vsbench report --strata`` shows what that does to an evaluation."""
    head = ["Staining type", "NCC", "MI, bit", "pairs counted", "nuclei H&E", "nuclei IHC", "count r", "density r"]
    rows = []
    for audit in audits:
        s, found = audit.summary, list(audit.nuclei.values())
        medians = [f"{median(getattr(one, kind) for one in found):,.0f}" if found else "n/a" for kind in KINDS]
        numbers = [_digits(s["pearson_r"]), _digits(s["mutual_information"]), f"{len(found):,}", *medians]
        rows.append([stain_name(audit.stain), *numbers, _digits(s["nuclei_count_r"]), _digits(s["nuclei_density_r"])])
    note = (
        "NCC is the paired rate. MI: mutual information of the grey levels. Nuclei: medians of a pair, by a detector "
        "of few constants that counts by one rule and not as the eye does; r of their numbers over the pairs, and the "
        f"mean over pairs of r of their numbers in {BLOCKS}×{BLOCKS} blocks."
    )
    return Table(head, rows, note)


def _digits(number: float | None) -> str:
    return "n/a" if number is None else f"{number:.2f}".replace("-", "−")


def _shared_slides(audit: Audit) -> Iterable[Any]:
    shared = [slide for slide in audit.slides if slide.shared]
    if shared:
        yield Heading(f"Slides in more than one split: {len(shared)}", 3)
        yield Table(["slide", "tiles by split"], [[s.slide, s.splits] for s in shared[:LISTED]], _more(shared))


def _leaks(audit: Audit) -> Iterable[Any]:
    return _alike(audit, [d for d in audit.duplicates if d.across], "Tissue in two splits")


def _doubles(audit: Audit) -> Iterable[Any]:
    return _alike(audit, [d for d in audit.duplicates if not d.across], "Tissue twice within a split")


def _alike(audit: Audit, found: list[Duplicate], title: str) -> Iterable[Any]:
    if not found:
        return
    worst = sorted(found, key=lambda d: (-d.overlap, -d.correlation))
    yield Heading(f"{title}: {_n(len({d.tiles for d in found}), 'pair')} of tiles", 3)
    head = ["tile", "and", "image", "what", "overlap", "shift (y, x)", "correlation"]
    rows = [
        [
            f"{d.split}/{d.id}",
            f"{d.other_split}/{d.other_id}",
            d.image,
            d.kind,
            f"{d.overlap:.0%}",
            f"{d.dy}, {d.dx}",
            f"{d.correlation:.2f}",
        ]
        for d in worst[:LISTED]
    ]
    yield Table(head, rows, _more(worst))
    for d in worst[:WORST]:
        images = [getattr(audit.pairs[tile], d.image) for tile in d.tiles]
        yield Figure(images, f"{d.split}/{d.id} and {d.other_split}/{d.other_id}: {d.image}, {d.kind}, {d.overlap:.0%}")


def _blanks(audit: Audit) -> Iterable[Any]:
    blank = sorted((row for row in audit.tiles if row.blank), key=lambda r: min(r.he_tissue, r.ihc_tissue))
    if blank:
        yield Heading(f"Blank: {_n(len(blank), 'pair')}", 3)
        yield from _pictures(audit, blank, lambda r: f"tissue: H&E {r.he_tissue:.1%}, IHC {r.ihc_tissue:.1%}")


def _shifts(audit: Audit) -> Iterable[Any]:
    shifted = sorted((row for row in audit.tiles if row.shifted), key=lambda r: -hypot(r.shift_y or 0, r.shift_x or 0))
    if shifted:
        yield Heading(f"Shifted: {_n(len(shifted), 'pair')}", 3)
        yield from _pictures(
            audit, shifted, lambda r: f"IHC {r.shift_y} px down, {r.shift_x} px right (confidence {r.confidence:.1f})"
        )
    paired = sorted((r for r in audit.tiles if r.pearson_r is not None and not r.blank), key=lambda r: r.pearson_r or 0)
    if paired:
        yield Heading("Least alike in grey", 3)
        yield from _pictures(audit, paired[: WORST // 2], lambda r: f"Pearson's r {_percent(r.pearson_r)}")


def _light(audit: Audit) -> Iterable[Any]:
    by_slide = [
        [s.slide, _level(s.he_light), _level(s.ihc_light, s.ihc_light_spread), s.ihc_light_share] for s in audit.slides
    ]
    by_tile = [
        [f"{row.split}/{row.id}", _level(row.he_light), _level(row.ihc_light), row.ihc_light_share]
        for row in audit.tiles
    ]
    seen = sorted(by_slide or by_tile, key=lambda line: -float(line[-1] or 0))
    if seen:
        what = "slide" if by_slide else "tile"
        yield Heading(f"Light by {what}", 3)
        lines = [[*map(str, line[:-1]), "n/a" if line[-1] is None else f"{line[-1]:.0%}"] for line in seen[:LISTED]]
        note = "Brightness of the glass in grey levels, 255 is white. n/a: no glass in sight."
        yield Table([what, "H&E", "IHC", "share of the density of DAB"], lines, f"{note} {_more(seen)}".rstrip())


def _drift(audit: Audit) -> Iterable[Any]:
    drifting = [slide for slide in audit.slides if slide.drifts]
    if drifting:
        yield Heading(f"Stained unlike the rest: {_n(len(drifting), 'slide')}", 3)
        head = ["slide", "tiles", "H&E haematoxylin (z)", "eosin (z)", "IHC haematoxylin (z)", "DAB (z)"]
        rows = [
            [
                s.slide,
                str(s.tiles),
                _amount(s.he_haematoxylin, s.z_he_haematoxylin),
                _amount(s.he_eosin, s.z_he_eosin),
                _amount(s.ihc_haematoxylin, s.z_ihc_haematoxylin),
                _amount(s.ihc_dab, s.z_ihc_dab),
            ]
            for s in drifting[:LISTED]
        ]
        yield Table(head, rows, _more(drifting) or "Mean optical density over the stained pixels.")


def _unreadable(audit: Audit) -> Iterable[Any]:
    if audit.unreadable:
        yield Heading(f"Could not be read: {len(audit.unreadable)}", 3)
        yield Text(_more(audit.unreadable), audit.unreadable[:LISTED])


def _pictures(audit: Audit, rows: Sequence[TileRow], caption: Any) -> Iterable[Figure]:
    for row in rows[:WORST]:
        pair = audit.pairs[row.split, row.id]
        yield Figure([pair.he, pair.ihc], f"{row.split}/{row.id}: {caption(row)}")


def _train_first(split: str) -> tuple[bool, str]:
    return split != "train", split


def _more(found: Sequence[object]) -> str:
    return f"The first {LISTED} of {len(found)}; all are in the CSV file." if len(found) > LISTED else ""


def _n(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _level(brightness: float | None, spread: float | None = None) -> str:
    if brightness is None:
        return "n/a"
    return f"{brightness:.0f}" + ("" if spread is None else f" ± {spread * brightness:.1f}")


def _percent(fraction: float | None) -> str:
    return "n/a" if fraction is None else f"{100 * fraction:.2f} %"


def _amount(value: float | None, z: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f} ({'n/a' if z is None else f'{z:+.1f}'})"
