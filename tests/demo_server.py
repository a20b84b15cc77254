"""The page in a process of its own, and a browser to visit it with."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

# the page must come up, and work, where nothing but this machine can be reached
OFFLINE = """
import socket, sys
connect = socket.socket.connect
def local(self, address):
    host = address[0] if isinstance(address, tuple) else ""
    if host not in ("", "127.0.0.1", "::1", "localhost"):
        print("network attempt:", address, file=sys.stderr, flush=True)
        raise OSError("no network")
    return connect(self, address)
socket.socket.connect = local
from vlm_aes.cli import main
main()
"""


def browser():
    """The path of a Chromium, the system's or Playwright's; nothing where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    installed = next(filter(None, map(shutil.which, names)), None)
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache/ms-playwright"))
    own = sorted(cache.glob("chromium-*/chrome-linux*/chrome"))
    return installed or (str(own[-1]) if own else None)


class Page:
    """``vlm-aes demo`` with some arguments, until it is closed.

    Attributes:
        url: where it is.
        seconds: until it answered.
        said: lines of its stderr.
    """

    def __init__(self, *arguments):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        began = time.monotonic()
        self.said = []
        self.process = subprocess.Popen(
            [sys.executable, "-c", OFFLINE, "demo", "--port", str(port), *map(str, arguments)],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.url = ""
        up = threading.Event()

        def listen():
            for line in self.process.stderr:
                self.said.append(line)
                found = re.search(r"http://\S+", line)
                if found and not self.url:
                    self.url = found.group().rstrip("/")
                    up.set()
            up.set()

        threading.Thread(target=listen, daemon=True).start()
        up.wait(600)
        self.seconds = time.monotonic() - began
        if not self.url:
            self.close()
            raise RuntimeError("the page did not come up:\n" + "".join(self.said))

    @property
    def memory(self):
        """Resident bytes of the server."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def close(self):
        """End it as Ctrl-C does; gives the exit code."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def choose_tab(page, name):
    """Open a tab, also where a narrow screen keeps it behind "More tabs"."""
    from playwright.sync_api import TimeoutError as TimeoutOfBrowser

    try:  # a tab that is seen may be put away in the next moment
        page.get_by_role("tab", name=name, exact=True).first.click(timeout=1500)
    except TimeoutOfBrowser:
        page.get_by_label("More tabs").click()
        page.locator(".overflow-dropdown button", has_text=name).click()


def violations(page):
    """What axe-core finds: {(rule, impact): an example}, of our own markup and of Gradio's.

    Ours is what stands in an HTML block; buttons, fields and tabs are Gradio's.
    """
    from axe_playwright_python.sync_playwright import Axe

    ours, gradios = {}, {}
    for violation in Axe().run(page).response["violations"]:
        for node in violation["nodes"]:
            own = page.evaluate("s => document.querySelector(s)?.closest('.prose') !== null", node["target"][-1])
            (ours if own else gradios).setdefault((violation["id"], violation["impact"]), node["html"][:160])
    return ours, gradios


def serious(found):
    """Those that are serious or critical."""
    return {key: html for key, html in found.items() if key[1] in ("serious", "critical")}
