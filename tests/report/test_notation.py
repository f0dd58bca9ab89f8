import math
import re

import pytest
from matplotlib.mathtext import MathTextParser

from vsbench import registry
from vsbench.report.notation import decimals, escape, heading, mathtext, number, prose, shorten, slug, unit

HOSTILE = r"a_b & 100% $x$ \input{/etc/passwd} ~^{}#"


def test_hostile_name_is_only_text() -> None:
    assert escape(HOSTILE) == (
        r"a\_b \& 100\% \$x\$ \textbackslash{}input\{/etc/passwd\} \textasciitilde{}\textasciicircum{}\{\}\#"
    )


def test_escaped_text_is_ascii_and_shows_what_it_cannot_write() -> None:
    assert escape("é ł µ Σ 染\n\t\0") == r"\'{e} \l{} $\mu$ $\Sigma$ [U+67D3] [U+0000]"
    assert escape("a--b ``c") == "a-{}-b `{}`c"  # no dash, no quotation mark
    assert all(escape(chr(code)).isascii() for code in range(0x3000))


def test_prose_breaks_long_words_and_says_the_same() -> None:
    digest = "0123456789abcdef" * 4
    assert prose(digest).replace(r"\allowbreak{}", "") == digest
    assert max(map(len, prose(f"x {digest}").split(r"\allowbreak{}"))) <= 14
    assert prose("short words stay") == "short words stay"


@pytest.mark.parametrize("label", ["$R_p$", r"$R_\mathrm{avg}$", r"IoD$_\mathrm{rel}$", "PHV$_1$", "$r^2$ of all"])
def test_plain_mathematics_in_a_label_stays(label: str) -> None:
    assert heading(label) == label == mathtext(label)


@pytest.mark.parametrize("label", [r"$\input{/etc/passwd}$", "$x", r"$\def\x{}$", "$R__p$", "$a$b$", r"$\write18{ls}$"])
def test_other_mathematics_in_a_label_is_text(label: str) -> None:
    assert heading(label) == escape(label)
    assert re.sub(r"\\\$", "", mathtext(label)).count("$") == 0


def test_labels_of_all_registered_metrics_are_written_as_mathematics() -> None:
    metrics, broken = registry.load_all("vsbench.metrics")
    assert metrics, broken
    parse = MathTextParser("agg").parse
    for metric in metrics.values():
        for value in metric.values:
            assert heading(value.label) == value.label, value.name
            parse(mathtext(value.label))
            assert "[U+" not in unit(value.unit), value.name


def test_numbers() -> None:
    assert number(0.46940, 4) == "0.4694"
    assert number(-1.005, 1) == "$-$1.0"
    assert number(-0.0001, 2) == "0.00"  # no negative zero
    assert number(math.inf, 2) == r"$\infty$"
    assert number(-math.inf, 2) == r"$-$$\infty$"


def test_decimals_are_those_of_the_paper() -> None:
    assert decimals("phv_avg", "1", [0.47, 0.51]) == 4
    assert decimals("r_avg", "%", [77.75, 3.1]) == 2
    assert decimals("fid", "1", [27.363]) == 3
    assert decimals("r_c_undefined", "images", [0.0, 3.0]) == 0
    assert decimals("r_c_undefined", "images", [0.5]) == 1


@pytest.mark.parametrize("largest", [0.9, 0.123, 0.00123, 4.56e-6])
def test_small_numbers_keep_three_digits(largest: float) -> None:
    places = decimals("iod", "1e7 OD·px", [largest, largest / 3, math.inf])
    assert len(f"{largest:.{places}f}".lstrip("0.")) >= 3


def test_units() -> None:
    assert unit("1e7 OD·px") == r"$10^{7}$ OD$\cdot$px"
    assert unit("1") == ""
    assert unit("%") == r"\%"


def test_file_names_are_harmless_and_distinct() -> None:
    names = ["mist-er", "a b", "a/b", "a_b", "../..", "", "ä", "a-b", ".hidden", "x" * 300]
    slugs = [slug(name) for name in names]
    assert len(set(slugs)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_+-]*", one) and len(one) < 310 for one in slugs)
    assert slug("mist-er") == "mist-er"


def test_shorten() -> None:
    assert shorten("a  long\nname", 20) == "a long name"
    assert shorten("abcdefgh", 5) == "abcd…"
