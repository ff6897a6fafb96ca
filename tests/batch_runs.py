"""What the end-to-end tests of `windlass batch` share: runs of the program, inputs, and how answers are compared."""
import argparse
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MODEL = os.path.join(ROOT, "inputs/reference/llama-gqa")  # 2 MB: three layers, a vocabulary of 512
DONE, FAILED, USAGE, AGAIN = 0, 1, 2, 75

options = argparse.Namespace()  # of the test program: see main()


def completion(custom_id, prompt, **fields):
    body = {"prompt": prompt, "max_tokens": 8, **fields}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/completions", "body": body}


def chat(custom_id, content, **fields):
    body = {"messages": [{"role": "user", "content": content}], "max_tokens": 8, **fields}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


def as_lines(requests):
    """Bytes of a JSONL file; strings stand in it as they are."""
    return "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in requests).encode()


def comparable(record):
    """What must be equal however often a batch was stopped: all but the time, and what a cache happened to hold."""
    record = json.loads(json.dumps(record))
    record["response"]["body"].pop("created", None)
    record["response"]["body"].get("usage", {}).pop("prompt_tokens_details", None)
    return json.dumps(record)


class BatchTest(unittest.TestCase):
    maxDiff = 2000

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="windlass-batch-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.processes = []
        self.addCleanup(self.end_processes)

    def end_processes(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe and not pipe.closed:
                    pipe.close()

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return self.path(name)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def words(self, **changes):
        """The command line; changes: option=value, None leaves it out, True is a switch."""
        chosen = {"model": MODEL, "input": self.path("in.jsonl"), "output": self.path("out.jsonl"), "threads": 1,
                  "kv_cache_memory": "4MiB"} | changes
        words = [options.program, "batch"]
        for name, value in chosen.items():
            if value is not None:
                words += ["--" + name.replace("_", "-")] + ([] if value is True else [str(value)])
        return words

    def start(self, words, **how):
        process = subprocess.Popen(words, cwd=self.folder, **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                                                              "stderr": subprocess.PIPE, **how})
        self.processes.append(process)
        return process

    def finish(self, process, expected, data=None):
        """Waits for the end; returns standard output and error as text."""
        out, error = process.communicate(data, timeout=300)
        out, error = out.decode(), error.decode()
        self.assertEqual(process.returncode, expected, f"{out}\n{error}")
        return out, error

    def run_batch(self, expected=DONE, **changes):
        return self.finish(self.start(self.words(**changes)), expected)

    def refuse(self, *parts, expected=USAGE, **changes):
        """The program refuses, in one message that has all the parts."""
        error = self.run_batch(expected, **changes)[1]
        for part in parts:
            self.assertIn(part, error)
        self.assertNotIn("terminate called", error)

    def records(self, name="out.jsonl"):
        """custom_id -> record; every line must be whole and no custom_id come twice."""
        found = {}
        for line in self.read(name).splitlines():
            record = json.loads(line)
            self.assertNotIn(record["custom_id"], found)
            found[record["custom_id"]] = record
        return found

    def comparables(self, name="out.jsonl"):
        return {custom_id: comparable(record) for custom_id, record in self.records(name).items()}

    def wait_for(self, condition, process):
        """Polls until the condition holds or the process has ended."""
        while process.poll() is None and not condition():
            time.sleep(0.002)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--mpirun", help="its path, for tests under a launcher")
    parser.add_argument("--sanitized", action="store_true", help="memory is not measured, and inputs are smaller")
    parser.add_argument("--without-pmix", action="store_true", help="the MPI cannot be started by srun --mpi=pmix")
    parser.add_argument("--long", action="store_true", help="also what continuous integration has no time for")
    parser.add_argument("--compression", action="store_true", help="the program reads gzip and zstd")
    rest = parser.parse_known_args(namespace=options)[1]
    os.environ.setdefault("OMPI_ALLOW_RUN_AS_ROOT", "1")
    os.environ.setdefault("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
    os.environ.setdefault("ASAN_OPTIONS", "detect_leaks=0")  # Open MPI's own
    unittest.main(module="__main__", argv=[sys.argv[0], *rest], verbosity=2)


def zstd_stored(content):
    """A Zstandard frame that holds `content` in raw blocks."""
    frame = bytearray(b"\x28\xb5\x2f\xfd\x00\x58")  # no checksum, no content size, a window of 2 MiB
    size = 100_000
    for at in range(0, len(content), size):
        part = content[at:at + size]
        last = at + size >= len(content)
        frame += struct.pack("<I", len(part) << 3 | last)[:3] + part
    return bytes(frame)
