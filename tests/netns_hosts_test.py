#!/usr/bin/env python3
"""Batches on two hosts, which are network namespaces: KV stays inside hosts where the layout lets it, and a host may die.

  netns_hosts_test.py WINDLASS MODEL
"""
import atexit
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from netns_hosts import Hosts, NoHosts

PROGRAM, MODEL = sys.argv[1], sys.argv[2]
PATIENCE = 120


def write_requests(path, count, prompt_tokens, max_tokens):
    with open(path, "w") as out:
        for i in range(count):
            body = {"prompt": [(7 + i * 3 + j * 31) % 300 + 3 for j in range(prompt_tokens)], "max_tokens": max_tokens,
                    "temperature": 0.8 if i % 2 else 0, "seed": i, "ignore_eos": True}
            print(json.dumps({"custom_id": f"r{i}", "method": "POST", "url": "/v1/completions", "body": body}), file=out)


def answers(path):
    """custom_id -> what has to be equal; None: it ran at the loss of two instances, and has an error for that."""
    bodies = {}
    for line in path.read_text().splitlines():
        record = json.loads(line)
        body = record["response"]["body"]
        assert record["custom_id"] not in bodies, f"{record['custom_id']} was answered twice"
        lost_twice = body.get("error", {}).get("code") == "instance_lost"
        bodies[record["custom_id"]] = None if lost_twice else {"choices": body["choices"],
                                                               "tokens": body["usage"]["total_tokens"]}
    return bodies


class TwoHosts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            cls.hosts, cls.problem = Hosts(2), ""
            atexit.register(cls.hosts.stop)
        except NoHosts as problem:
            cls.hosts, cls.problem = None, str(problem)

    def setUp(self):
        if not self.hosts:
            self.skipTest(f"no network namespaces here: {self.problem}")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def batch(self, name, *options):
        return ["batch", "--model", MODEL, "--input", str(self.folder / "in.jsonl"), "--output",
                str(self.folder / f"{name}.jsonl"), "--report", str(self.folder / f"{name}.report"), *options]

    def one_rank(self, *options):
        subprocess.run([PROGRAM, *self.batch("one", "--quiet", *options)], check=True, timeout=PATIENCE)
        return answers(self.folder / "one.jsonl")

    def start(self, name, slots, *options):
        """On `slots` ranks of each host."""
        places = ",".join(f"{host}:{slots}" for host in self.hosts.names)
        words = [PROGRAM, "launch", "-n", str(slots * len(self.hosts.names)), "--hosts", places, *self.batch(name, *options)]
        self.errors = open(self.folder / f"{name}.stderr", "w+")
        self.addCleanup(self.errors.close)
        return subprocess.Popen(self.hosts.inside(self.hosts.names[0], *words), stdout=self.errors, stderr=self.errors,
                                env=os.environ | self.hosts.environment())

    def told(self):
        self.errors.seek(0)
        return self.errors.read()

    def run_on_hosts(self, name, slots, *options):
        """The report, and how many bytes went from host to host."""
        before = self.hosts.crossed_bytes()
        self.assertEqual(self.start(name, slots, *options).wait(PATIENCE), 0, self.told())
        return json.loads((self.folder / f"{name}.report").read_text()), self.hosts.crossed_bytes() - before

    def test_kv_crosses_hosts_only_where_an_instance_has_no_peer_on_its_own(self):
        write_requests(self.folder / "in.jsonl", 24, 800, 4)
        expected = self.one_rank()

        apart, crossed_apart = self.run_on_hosts("apart", 1, "--layout", "prefill=1,decode=1")
        paired, crossed_paired = self.run_on_hosts("paired", 2, "--layout", "prefill=2,decode=2")

        self.assertEqual(answers(self.folder / "apart.jsonl"), expected)
        self.assertEqual(answers(self.folder / "paired.jsonl"), expected)
        print(f"apart: {apart['kv']}, {crossed_apart} bytes crossed; paired: {paired['kv']}, {crossed_paired} bytes crossed")
        self.assertEqual((apart["kv"]["copied"]["requests"], apart["kv"]["shared"]["requests"]), (24, 0))
        self.assertEqual((paired["kv"]["copied"]["requests"], paired["kv"]["shared"]["requests"]), (0, 24))
        kv_bytes = apart["kv"]["copied"]["bytes"]
        self.assertGreater(crossed_apart, kv_bytes)
        self.assertLess(crossed_paired, kv_bytes / 4)

    def test_the_loss_of_a_host_is_survived(self):
        write_requests(self.folder / "in.jsonl", 60, 100, 150)
        expected = self.one_rank()
        output, status = self.folder / "lost.jsonl", self.folder / "status"
        job = self.start("lost", 2, "--layout", "prefill=2,decode=2", "--max-num-seqs", "2", "--lost-after-seconds", "2",
                         "--status-file", str(status))
        lines = lambda: output.read_bytes().count(b"\n") if output.exists() else 0
        self.wait_until(job, lambda: lines() >= 4)

        self.hosts.lose(self.hosts.names[1])
        self.assertLess(lines(), 50, "too late: the job was nearly over")

        self.assertEqual(job.wait(PATIENCE), 0, self.told())
        report = json.loads((self.folder / "lost.report").read_text())
        found = answers(output)
        failed = [name for name, body in found.items() if body is None]  # a host takes two instances along
        self.assertEqual(found, expected | {name: None for name in failed})
        self.assertEqual(report["requests"]["failed"], len(failed))
        self.assertLess(len(failed), 10)
        self.assertEqual(sorted(report["instances"]["lost_ranks"]), [2, 3], self.told())
        self.assertEqual(status.read_text().split("\n")[0], "done")

    def wait_until(self, job, happened):
        end = time.monotonic() + PATIENCE
        while not happened():
            self.assertTrue(time.monotonic() < end and job.poll() is None, self.told())
            time.sleep(0.01)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and the namespaces go
    unittest.main(argv=sys.argv[:1], verbosity=2)
