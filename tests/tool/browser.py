# SPDX-License-Identifier: MIT
"""A headless Chromium, driven through the DevTools protocol over a pipe: no port, no network, nothing but Python."""
import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time


def find():
    return next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)


class Browser:
    """Opens one page. What the page complains of is collected in `errors`, what it asked for in `requests`."""

    def __init__(self, width, height, dark=False, touch=False):
        self.profile = tempfile.mkdtemp(prefix="vmakit-browser-")
        to_read, self.to = os.pipe()
        self.from_, to_write = os.pipe()
        self.log = open(os.path.join(self.profile, "log"), "w")
        arguments = [find(), "--headless", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--hide-scrollbars",
                     "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update",
                     "--no-sandbox",  # the page is our own, and containers often allow none
                     "--user-data-dir=" + self.profile]

        def pipes():  # the browser reads from descriptor 3 and writes to 4
            spares = [fcntl.fcntl(pipe, fcntl.F_DUPFD, 10) for pipe in (to_read, to_write)]
            os.dup2(spares[0], 3)
            os.dup2(spares[1], 4)

        self.process = subprocess.Popen(arguments, preexec_fn=pipes, close_fds=False, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)
        os.close(to_read)
        os.close(to_write)
        self.rest, self.number, self.session = b"", 0, None
        self.errors, self.requests, self.loaded = [], [], False
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(domain + ".enable")
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        if touch:
            self.ask("Emulation.setTouchEmulationEnabled", enabled=True)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.ask("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)

    def note(self, message):
        what, given = message["method"], message.get("params", {})
        if what == "Runtime.exceptionThrown":
            details = given["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif what == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning", "assert"):
            self.errors.append("console: " + json.dumps(given["args"]))
        elif what == "Log.entryAdded" and given["entry"]["level"] in ("error", "warning"):
            self.errors.append("log: " + given["entry"]["text"])
        elif what == "Network.requestWillBeSent":
            self.requests.append(given["request"]["url"])
        elif what == "Page.loadEventFired":
            self.loaded = True

    def read(self, seconds):
        """One message, or None."""
        until = time.monotonic() + seconds
        while b"\0" not in self.rest:
            if not select.select([self.from_], [], [], max(0, until - time.monotonic()))[0]:
                return None
            piece = os.read(self.from_, 1 << 20)
            if not piece:
                raise RuntimeError("the browser has ended: " + open(self.log.name).read()[-2000:])
            self.rest += piece
        line, self.rest = self.rest.split(b"\0", 1)
        message = json.loads(line)
        if "method" in message:
            self.note(message)
        return message

    def ask(self, method, seconds=60, **given):
        self.number += 1
        message = {"id": self.number, "method": method, "params": given}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read(seconds)
            if answer is None:
                raise RuntimeError(method + ": no answer")
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(method + ": " + answer["error"]["message"])
                return answer["result"]

    def open(self, path):
        self.loaded = False
        self.ask("Page.navigate", url="file://" + os.path.abspath(path))
        while not self.loaded:
            if self.read(60) is None:
                raise RuntimeError("the page does not load")

    def wait(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.read(until - time.monotonic())

    def run(self, script):
        """The value of an expression in the page."""
        result = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(script + ": " + json.dumps(result["exceptionDetails"]))
        return result["result"].get("value")

    def place(self, selector):
        """The middle of an element, scrolled into sight and not covered by another."""
        place = self.run("""(() => { const e = document.querySelector(%s); e.scrollIntoView({block: "center", behavior: "instant"});
            const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()""" % json.dumps(selector))
        return place

    def still_place(self, selector):
        """Its place once it has come to rest: a page under load may still scroll or be laid out."""
        place = self.place(selector)
        for _ in range(20):
            self.wait(0.02)
            before, place = place, self.place(selector)
            if place == before:
                break
        return place

    def click(self, selector, x=0.5, y=0.5):
        left, top, width, height = self.still_place(selector)
        at = {"x": left + width * x, "y": top + height * y, "button": "left", "clickCount": 1}
        self.ask("Input.dispatchMouseEvent", type="mousePressed", **at)
        self.ask("Input.dispatchMouseEvent", type="mouseReleased", **at)

    def tap(self, selector, x=0.5, y=0.5):
        left, top, width, height = self.place(selector)
        self.ask("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": left + width * x, "y": top + height * y}])
        self.ask("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def key(self, name, code):
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code)

    def picture(self, path, whole=True):
        given = {}
        if whole:
            size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
            given = {"captureBeyondViewport": True, "clip": {"x": 0, "y": 0, "width": size["width"],
                                                             "height": min(size["height"], 8000), "scale": 1}}
        with open(path, "wb") as out:
            out.write(base64.b64decode(self.ask("Page.captureScreenshot", format="png", **given)["data"]))

    def close(self):
        try:
            self.session = None
            self.ask("Browser.close", seconds=10)
            self.process.wait(10)
        except Exception:
            self.process.kill()
            self.process.wait()
        os.close(self.to)
        os.close(self.from_)
        self.log.close()
        shutil.rmtree(self.profile, ignore_errors=True)
