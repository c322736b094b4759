"""A headless Chromium, driven by its DevTools protocol: what looks at the report as a person does.

Needs Debian's ``chromium`` (or Chrome) and aiohttp, which is in the extra ``test``.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp

__all__ = ["Page", "find_browser", "open_page"]

_START_S = 30.0


def find_browser() -> str | None:
    """The path of a Chromium, if this machine has one."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


class Page:
    """One page. Errors of its scripts are in ``errors``."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: Any) -> None:
        self._loop = loop
        self._socket = socket
        self._number = 0
        self.errors: list[str] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the protocol."""
        return self._loop.run_until_complete(self._call(method, parameters))

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = json.loads((await self._socket.receive(timeout=60)).data)
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        of = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            thrown = of["exceptionDetails"]
            self.errors.append(thrown.get("exception", {}).get("description") or thrown["text"])
        if message.get("method") == "Log.entryAdded" and of["entry"]["level"] == "error":
            self.errors.append(f"{of['entry']['text']} {of['entry'].get('url', '')}")

    def go(self, url: str) -> None:
        """Opens a URL; does not wait for anything on it."""
        self.call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of an expression, or of the promise that it gives."""
        done = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in done:
            raise RuntimeError(done["exceptionDetails"]["exception"].get("description", script))
        return done["result"].get("value")

    def until(self, condition: str, seconds: float = 15.0) -> float:
        """Waits until an expression is true; gives the seconds that it took.

        Raises:
            TimeoutError: It did not become true.
        """
        began = time.monotonic()
        while not self.run(f"(() => {{ try {{ return Boolean({condition}); }} catch {{ }} }})()"):
            if time.monotonic() - began > seconds:
                raise TimeoutError(f"{condition} is not true after {seconds} s: {self.errors}")
            time.sleep(0.02)
        return time.monotonic() - began

    def key(self, key: str, text: str = "") -> None:
        """Presses a key: a letter, or a name such as ``ArrowRight``."""
        text = text or (key if len(key) == 1 else {"Enter": "\r"}.get(key, ""))
        codes = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39,
                 "ArrowDown": 40}  # fmt: skip
        code = codes.get(key, ord(key.upper()) if key.isalnum() and len(key) == 1 else 0)
        named: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code}
        down = (
            {**named, "type": "keyDown", "text": text} if text else {**named, "type": "rawKeyDown"}
        )
        self.call("Input.dispatchKeyEvent", **down)
        self.call("Input.dispatchKeyEvent", **named, type="keyUp")

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drags the mouse from one point of the page to another."""
        for kind, (x, y), buttons in (
            ("mousePressed", start, 1), ("mouseMoved", end, 1), ("mouseReleased", end, 0)
        ):  # fmt: skip
            self.call(
                "Input.dispatchMouseEvent",
                type=kind, x=x, y=y, button="left", buttons=buttons, clickCount=1,
            )  # fmt: skip

    def show(self, width: int, height: int, *, dark: bool = False, scale: float = 1) -> None:
        """Sets the window's size in CSS pixels, and which colours the reader prefers."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=scale, mobile=False,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path | None = None) -> bytes:
        """A PNG of what is on the screen."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        if path is not None:
            path.write_bytes(data)
        return data


@contextlib.contextmanager
def open_page(browser: str) -> Iterator[Page]:
    """Starts a browser of its own, without a profile, and gives an empty page."""
    with tempfile.TemporaryDirectory(prefix="alphabeam-browser-") as profile:
        process = subprocess.Popen(
            [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             "--no-first-run", "--disable-background-networking", "--disable-dev-shm-usage",
             "--disable-extensions", "--mute-audio", "--remote-debugging-port=0",
             f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        loop = asyncio.new_event_loop()
        try:
            address = _address(Path(profile) / "DevToolsActivePort", process)
            yield from _with_page(loop, address)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            loop.close()


def _address(file: Path, process: subprocess.Popen[bytes]) -> str:
    began = time.monotonic()
    while time.monotonic() - began < _START_S:
        if process.poll() is not None:
            raise RuntimeError(f"the browser ended with {process.returncode}")
        if file.exists() and len(lines := file.read_text().split()) == 2:
            return f"http://127.0.0.1:{lines[0]}"
        time.sleep(0.05)
    raise TimeoutError(f"the browser did not start within {_START_S:.0f} s")


def _with_page(loop: asyncio.AbstractEventLoop, address: str) -> Iterator[Page]:
    async def connect() -> tuple[aiohttp.ClientSession, Any]:
        session = aiohttp.ClientSession()
        async with session.get(f"{address}/json/list") as answer:
            pages = await answer.json()
        url = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
        return session, await session.ws_connect(url, max_msg_size=0)

    session, socket = loop.run_until_complete(connect())
    try:
        page = Page(loop, socket)
        for domain in ("Page", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        yield page
    finally:
        loop.run_until_complete(socket.close())
        loop.run_until_complete(session.close())
