"""The dashboard in a real browser: a headless Chromium opens it, sees figures, chats, and reports no error. The picture is kept
in WINDLASS_TEST_RESULTS (tests/run.sh: build/test-results)."""
import base64
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import harness

BROWSER = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"))), None)
if not BROWSER:
    harness.skip_all("no headless Chromium here; tests/run.sh --long installs it")

PATIENCE = 60  # seconds for whatever the browser is asked


class Browser:
    """One page of a headless Chromium, driven by the DevTools protocol over two pipes: messages of JSON that end with a zero byte."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs_in, self.out = os.pipe()
        self.into, theirs_out = os.pipe()
        words = [BROWSER, "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions",
                 "--no-first-run", "--window-size=1280,1400", f"--user-data-dir={self.folder.name}", "about:blank"]
        # The browser takes its descriptors 3 and 4; the shell puts ours there.
        shell = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self.process = subprocess.Popen(["sh", "-c", shell, "sh", *words], pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(theirs_in)
        os.close(theirs_out)
        self.rest, self.number, self.session, self.events = b"", 0, None, []

    def __enter__(self):
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Page"):
            self.ask(f"{domain}.enable")
        return self

    def __exit__(self, *_):
        os.close(self.out)
        os.close(self.into)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        self.folder.cleanup()

    def read(self, until):
        """The next message; what is no answer is an event."""
        while b"\0" not in self.rest:
            if not select.select([self.into], [], [], max(0, until - time.monotonic()))[0]:
                raise AssertionError(f"the browser said nothing for {PATIENCE} s")
            piece = os.read(self.into, 1 << 20)
            if not piece:
                raise AssertionError("the browser ended")
            self.rest += piece
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def ask(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + PATIENCE
        while (answer := self.read(until)).get("id") != self.number:
            self.events.append(answer)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return answer["result"]

    def value(self, expression):
        """What a line of JavaScript is, in the page."""
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def wait_for(self, expression):
        harness.wait_until(lambda: self.value(expression), PATIENCE, f"{expression} in the page")

    def problems(self):
        """Errors and warnings of the console, exceptions, and what the browser refused or could not load."""
        found = []
        for event in self.events:
            method, parameters = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(parameters["exceptionDetails"].get("exception", {}).get("description", parameters["exceptionDetails"]["text"]))
            if method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
                found.append(" ".join(str(argument.get("value")) for argument in parameters["args"]))
            if method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
                found.append(parameters["entry"]["text"])
        return found


class Dashboard(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server("--max-model-len", "256")
        cls.addClassCleanup(cls.server.__exit__)

    def test_a_browser_shows_figures_and_a_chat_without_errors(self):
        with Browser() as browser:
            browser.ask("Page.navigate", url=self.server.base_url.removesuffix("/v1") + "/?key=" + self.server.key)
            browser.wait_for("document.getElementById('state')?.textContent === 'ok'")
            self.assertEqual(browser.value("location.search"), "")  # no key in the history
            browser.value("document.getElementById('words').value = 'Say something.'; document.getElementById('send').click()")
            browser.wait_for("document.querySelector('#log .assistant')?.textContent.length > 20")
            browser.wait_for("!document.getElementById('send').disabled")
            browser.wait_for("document.querySelectorAll('#instances tr').length === 1 && document.querySelectorAll('#users tr').length === 1")
            browser.wait_for("Number(document.querySelector('#users tr').cells[1].textContent) >= 0")
            picture = base64.b64decode(browser.ask("Page.captureScreenshot", format="png")["data"])
            problems = browser.problems()
            browser.value("console.error('planted')")
            planted = browser.problems()

        (pathlib.Path(os.environ.get("WINDLASS_TEST_RESULTS", ".")) / "dashboard.png").write_bytes(picture)
        self.assertEqual(problems, [])
        self.assertEqual(planted, ["planted"])  # what was looked for would have been seen
        self.assertTrue(picture.startswith(b"\x89PNG") and len(picture) > 10_000, len(picture))

    def test_a_wrong_key_is_refused(self):
        with Browser() as browser:
            browser.ask("Page.navigate", url=self.server.base_url.removesuffix("/v1") + "/?key=wrong")
            browser.wait_for("document.body.textContent.includes('no valid key')")


if __name__ == "__main__":
    harness.main()
