"""A running `windlass serve` for tests, and results in the words that tests/summary.py counts."""
import http.client
import json
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("WINDLASS_PROGRAM", str(ROOT / "build/release/jobs/windlass"))
TINY = str(ROOT / "inputs/reference/llama-gqa")
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"


def wait_until(holds, seconds, what):
    """Looks every 10 ms until holds() is true; fails the test after `seconds`."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.01)


def is_running(process):
    """Whether there is a process of this number that has not ended, waited for or not."""
    try:
        return (pathlib.Path("/proc") / str(process) / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def mpirun(ranks):
    """The launcher's words, from WINDLASS_MPIRUN."""
    return [*shlex.split(os.environ["WINDLASS_MPIRUN"]), "-n", str(ranks)]


class Server:
    """One server with an endpoint file in a folder of its own; use it in a `with`."""

    def __init__(self, *options, model=TINY, key=None, ranks=0):
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name)
        (self.path / "chat.jinja").write_text(TEMPLATE)
        command = mpirun(ranks) if ranks else []
        command += [PROGRAM, "serve", "--model", model, "--threads", "1", "--kv-cache-memory", "256MiB", *options]
        if model == TINY:
            command += ["--served-model-name", "tiny"]
            if "--chat-template" not in options:
                command += ["--chat-template", str(self.path / "chat.jinja")]
        self.log = open(self.path / "log", "w+")
        self.process = subprocess.Popen(command, cwd=self.path, stdout=self.log, stderr=self.log)
        self.endpoint_file = self.path / "windlass-endpoint.json"
        wait_until(lambda: self.endpoint_file.exists() or self.process.poll() is not None, 60, "the server's start")
        if self.process.poll() is not None:
            raise AssertionError("the server ended: " + self.output())
        endpoint = json.loads(self.endpoint_file.read_text())
        self.key, self.model = key or endpoint["api_key"], endpoint["model"]
        self.base_url, self.socket_path = endpoint.get("base_url"), endpoint.get("socket")
        if self.base_url:
            host, port = self.base_url.split("//")[1].removesuffix("/v1").split(":")
            self.address = (host, int(port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()
        self.log.close()
        self.folder.cleanup()

    def output(self):
        self.log.seek(0)
        return self.log.read()

    def stop(self, sent=signal.SIGTERM):
        """Ends the server; returns its exit status."""
        self.process.send_signal(sent)
        return self.process.wait(30)

    def rank_process(self, rank):
        """The process id of a rank of a server of several."""
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "environ").read_bytes().split(b"\0")
                    mine = (entry / "cwd").resolve() == self.path.resolve() and (entry / "comm").read_text() == "windlass\n"
                except OSError:
                    continue
                if mine and f"OMPI_COMM_WORLD_RANK={rank}".encode() in words:
                    return int(entry.name)
        raise AssertionError(f"there is no rank {rank}")

    def connect(self):
        return socket.create_connection(self.address, timeout=20)

    def request(self, method, path, body=None, key=None):
        """(status, headers, body) of one request; `body` is made JSON unless it is bytes; key "" sends none."""
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        headers = {"Authorization": f"Bearer {self.key if key is None else key}"} if key != "" else {}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        answer = response.status, dict(response.getheaders()), response.read()
        connection.close()
        return answer

    def json(self, method, path, body=None):
        status, _, answer = self.request(method, path, body)
        if status != 200:
            raise AssertionError(f"{method} {path}: {status} {answer!r}")
        return json.loads(answer)

    def metrics(self):
        """{name: value} of the samples that have no label but the model's."""
        text = self.request("GET", "/metrics")[2].decode()
        samples = {}
        for line in text.splitlines():
            if not line.startswith("#") and line.count("=") == 1:
                samples[line.split("{")[0]] = float(line.rsplit(" ", 1)[1])
        return samples

    def raw_request(self, path, body):
        """The bytes of a POST with a key."""
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {self.key}\r\nContent-Length: {len(data)}\r\n\r\n"
        return head.encode() + data


def batch(folder, bodies, *options, url="/v1/completions", model=TINY):
    """The bodies that `windlass batch` answers these with."""
    folder = pathlib.Path(folder)
    (folder / "chat.jinja").write_text(TEMPLATE)
    lines = [json.dumps({"custom_id": str(i), "method": "POST", "url": url, "body": body}) for i, body in enumerate(bodies)]
    (folder / "in.jsonl").write_text("\n".join(lines) + "\n")
    command = [PROGRAM, "batch", "--model", model, "--input", "in.jsonl", "--output", "out.jsonl", "--overwrite", "--quiet",
               "--threads", "1", "--kv-cache-memory", "256MiB", *options]
    if model == TINY:
        command += ["--chat-template", "chat.jinja"]
    subprocess.run(command, cwd=folder, check=True)
    records = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    by_id = {int(record["custom_id"]): record["response"]["body"] for record in records}
    return [by_id[i] for i in range(len(bodies))]


class Result(unittest.TestResult):
    """Prints GoogleTest's lines."""

    begun = time.monotonic()

    @staticmethod
    def name(test):
        return f"{type(test).__name__}.{getattr(test, '_testMethodName', 'set_up')}"

    def startTest(self, test):
        super().startTest(test)
        self.begun = time.monotonic()
        print(f"[ RUN      ] {self.name(test)}", flush=True)

    def end(self, word, test):
        print(f"[{word:>9} ] {self.name(test)} ({(time.monotonic() - self.begun) * 1000:.0f} ms)", flush=True)

    def addSuccess(self, test):
        self.end("OK", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(reason)
        self.end("SKIPPED", test)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        print(self.failures[-1][1])
        self.end("FAILED", test)

    def addError(self, test, error):
        super().addError(test, error)
        print(self.errors[-1][1])
        self.end("FAILED", test)


def skip_all(reason):
    """Ends the program as one skipped test."""
    print(f"[ RUN      ] All.tests\n{reason}\n[  SKIPPED ] All.tests (0 ms)")
    sys.exit(0)


def main():
    """Runs the tests of the module that was started; --gtest_filter=NAME runs those whose name contains it."""
    wanted = next((word.split("=", 1)[1] for word in sys.argv[1:] if word.startswith("--gtest_filter=")), "")
    suite = unittest.TestSuite()
    for group in unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"]):
        suite.addTests(test for test in group if wanted in Result.name(test))
    result = Result()
    suite.run(result)
    print(f"{result.testsRun} tests, {len(result.failures) + len(result.errors)} failed")
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)
