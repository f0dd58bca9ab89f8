"""Paths of the machine in what others get to read."""

from pathlib import Path

import pytest

from vsbench.report.notation import prose
from vsbench.report.provenance.places import Places

ROOT = Path("/srv/lab b/results")


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Places:
    """Results and data of a user whose home has a blank in its name."""
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ada l"))
    return Places(ROOT, ["/home/ada l/data_sets", "/mnt/x"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/srv/lab b/results/runs/mist-er/cut/seed-0", "runs/mist-er/cut/seed-0"),
        ("/srv/lab b/results", "."),
        ("/home/ada l/data_sets/MIST/a b.png", "<data>/MIST/a b.png"),
        ("/mnt/x", "<data>"),
        ("/mnt/xy/z", "<elsewhere>/z"),
        ("/home/ada l/secret plans/fakes", "<elsewhere>/fakes"),
        (r"C:\Users\Ada\secret\fakes", "<elsewhere>/fakes"),
        ("no partner: /home/ada l/secret/a.png; add it", "no partner: <elsewhere>/a.png; add it"),
        ("(/mnt/x/he/1.png, /opt/deep/2.png)", "(<data>/he/1.png, <elsewhere>/2.png)"),
        ("see '/srv/lab b/results/digests.json'", "see 'digests.json'"),
        # what is no path stays
        ("|Σ Î − Σ I| / Σ I", "|Σ Î − Σ I| / Σ I"),
        ("fid/torch-fidelity 1/(N−1) and/or px/mm", "fid/torch-fidelity 1/(N−1) and/or px/mm"),
        ("https://github.com/a/b", "https://github.com/a/b"),
        ("images/test/001.png", "images/test/001.png"),
        ("../../train/ihc/P04.png", "../../train/ihc/P04.png"),
    ],
)
def test_only_absolute_paths_are_rewritten(places: Places, text: str, expected: str) -> None:
    assert places.text(text) == expected
    assert places.value({"a": [text, 1, None]}) == {"a": [expected, 1, None]}


@pytest.mark.parametrize("tail", ["", "/a_b/x%1.png", "/a-very-long-name-of-a-folder/and_another/001.png"])
@pytest.mark.parametrize("root", ["/srv/lab b/results", "/home/ada l/data_sets", "/home/ada l/secret", "/opt/deep/er"])
def test_latex_tells_no_more_than_text(places: Places, root: str, tail: str) -> None:
    found = places.latex(f"\\textbf{{Warning}}: no partner ({prose(root + tail)}) \\\\")
    expected = places.text(root + tail)
    plain = found.replace(r"\allowbreak{}", "").replace(r"\textless{}", "<").replace(r"\textgreater{}", ">")
    assert plain.replace(r"\_", "_").replace(r"\%", "%") == f"\\textbf{{Warning}}: no partner ({expected}) \\\\"


def test_latex_that_holds_no_path_stays(places: Places) -> None:
    text = r"N:\emph{a}/b \input{tables/x.tex} $\cdot$/x/y {\texttt{r\_c/gray-mean}} 1/2 \\[2pt] / a \\"
    assert places.latex(text) == text


def test_an_option_below_a_data_root_is_named_from_there(places: Places) -> None:
    assert places.option("/mnt/x/labels.csv") == "labels.csv"
    assert places.option("/mnt/x") == "."
    assert places.option("/opt/lab/labels.csv") == "<elsewhere>/labels.csv"
    assert places.option("he/{stain}") == "he/{stain}"
    assert places.option(3) == 3
