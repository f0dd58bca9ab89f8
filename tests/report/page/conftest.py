"""A headless Chromium that opens pages as files, driven over a pipe by the DevTools protocol."""

import base64
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--hide-scrollbars",
)
KEYS = {"Enter": 13, " ": 32, "Escape": 27, "Tab": 9, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


class Browser:
    """One tab. ``problems``: what its console has said of errors and of what the page's policy blocked."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        to_read, self._out = os.pipe()
        self._in, to_write = os.pipe()
        pipes = [(os.POSIX_SPAWN_DUP2, to_read, 3), (os.POSIX_SPAWN_DUP2, to_write, 4)]
        for name in ("log", "profile"):
            (profile / name).mkdir(parents=True, exist_ok=True)
        quiet = [
            (os.POSIX_SPAWN_OPEN, i, str(profile / "log" / str(i)), os.O_WRONLY | os.O_CREAT, 0o600) for i in (1, 2)
        ]
        self._process = os.posix_spawn(
            CHROMIUM, [CHROMIUM, *FLAGS, f"--user-data-dir={profile / 'profile'}"], os.environ,
            file_actions=[*quiet, *pipes], setpgroup=0,
        )  # fmt: skip
        os.close(to_read)
        os.close(to_write)
        self._bytes, self._number, self._session = b"", 0, None
        self.problems: list[str] = []
        self._events: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """The result of a command of the DevTools protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, page: Path, width: int = 1400, height: int = 900, dark: bool = False) -> None:
        """Load a file and wait until its images and scripts are there.

        What the page before says until then is not told: its files may have been deleted with their test.
        """
        told = list(self.problems)
        self._go("about:blank")
        self.problems[:] = told
        self.resize(width, height)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self._go(page.absolute().as_uri())
        self.wait("window.explorerNow === undefined || document.readyState === 'complete'")

    def _go(self, url: str) -> None:
        self._events.clear()
        self.call("Page.navigate", url=url)
        while "Page.loadEventFired" not in self._events:
            self._read()

    def resize(self, width: int, height: int) -> None:
        """The size of the window in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def js(self, expression: str) -> Any:
        """The value of an expression, awaited where it is a promise."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until a condition holds; fails after ten seconds."""
        done = self.js(
            f"new Promise(done => {{ const end = Date.now() + 10000; (function look() {{ if ({condition}) done(true); "
            "else if (Date.now() > end) done(false); else setTimeout(look, 10); })(); })"
        )
        assert done, f"never came true: {condition}"

    def click(self, selector: str) -> None:
        """A click of the mouse on the middle of an element, scrolled into view first."""
        box = self.js(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "e.scrollIntoView({block: 'center', inline: 'center'}); const b = e.getBoundingClientRect(); "
            "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def press(self, *keys: str) -> None:
        """Keys by name, one after the other."""
        for key in keys:
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            shared = {"key": key, "code": key if len(key) > 1 else "", "windowsVirtualKeyCode": KEYS.get(key, 0)}
            self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **shared)
            self.call("Input.dispatchKeyEvent", type="keyUp", **shared)

    def screenshot(self, path: Path, whole: bool = False) -> Path:
        """A PNG of the window, or of the whole page."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))
        return path

    def close(self) -> None:
        """End the browser and all its processes."""
        os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._out)
        os.close(self._in)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._bytes:
            more = os.read(self._in, 1 << 20)
            assert more, "the browser has ended"
            self._bytes += more
        line, _, self._bytes = self._bytes.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        method, told = message.get("method", ""), message.get("params", {})
        self._events.append(method)
        if method == "Runtime.exceptionThrown":
            self.problems.append(str(told["exceptionDetails"].get("exception", told)))
        elif method == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.problems.append(told["entry"]["text"])
        elif method == "Network.requestWillBeSent" and not told["request"]["url"].startswith(
            ("file:", "data:", "about:")
        ):
            self.problems.append(f"asked for {told['request']['url']}")
        return message


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium, one for the tests of a file; they skip where there is none."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium (apt install chromium) to use the page as a reader does; it is not here")
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def tree_class(request: pytest.FixtureRequest) -> Any:
    """``Tree`` of the folder above, for pages that several tests share."""
    trees = request.config.pluginmanager.get_plugin(str(Path(__file__).parents[1] / "conftest.py"))
    return trees.Tree


@pytest.fixture
def make_picture(tree_class: Any, tmp_path: Path) -> Callable[[int], Any]:
    """A picture of brown nuclei, (size, size, 3)."""
    return lambda size: tree_class(tmp_path, size=size).picture(3, "ihc")
