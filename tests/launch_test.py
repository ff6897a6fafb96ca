#!/usr/bin/env python3
"""`windlass launch`: what it prints, what it runs, and what its exit code says.

  launch_test.py WINDLASS MODEL
"""
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM, MODEL = sys.argv[1], sys.argv[2]
PATIENCE = 120


class Launch(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.place = pathlib.Path(self.folder.name)

    def write_requests(self, count, max_tokens):
        with open(self.place / "in.jsonl", "w") as out:
            for i in range(count):
                body = {"prompt": [5 + i % 200, 6, 7], "max_tokens": max_tokens, "seed": i, "ignore_eos": True}
                print(json.dumps({"custom_id": f"r{i}", "method": "POST", "url": "/v1/completions", "body": body}), file=out)

    def words(self, *options, launch=("-n", "2")):
        return [PROGRAM, "launch", *launch, "batch", "--model", MODEL, "--input", str(self.place / "in.jsonl"),
                "--output", str(self.place / "out.jsonl"), *options]

    def run_it(self, *options, **how):
        done = subprocess.run(self.words(*options, **how), capture_output=True, text=True, timeout=PATIENCE)
        return done.returncode, done.stdout, done.stderr

    def lines(self):
        out = self.place / "out.jsonl"
        return out.read_bytes().count(b"\n") if out.exists() else 0

    def test_print_runs_nothing(self):
        code, out, _ = self.run_it("--layout", "mixed=2", launch=("-n", "2", "--print"))
        self.assertEqual(code, 0)
        self.assertRegex(out, r"^/.*mpi(run|exec).* -n 2 /.*windlass batch --model .* --layout mixed=2\n$")
        self.assertFalse((self.place / "out.jsonl").exists())

    def test_a_batch_is_answered_and_the_line_is_shown(self):
        self.write_requests(6, 5)
        code, out, error = self.run_it("--layout", "prefill=1,decode=1")
        self.assertEqual((code, self.lines()), (0, 6), error)
        self.assertRegex(error, r"windlass: /.* -n 2 /.*windlass batch")
        self.assertRegex(out, r"KV handed over +6 requests")
        self.assertEqual(error.count("without recovery"), 1 if "MPICH has no other way" in error else 0, error)

    def test_mistakes_are_told_once_with_status_2(self):
        code, _, error = self.run_it()
        self.assertEqual((code, error.count("in.jsonl does not exist")), (2, 1), error)
        self.write_requests(1, 1)
        code, _, error = self.run_it("--layout", "mixed=3")  # which only the running job can know
        self.assertEqual(code, 2, error)
        self.assertIn("takes 3 ranks", error)
        for launch, words in [(("-n", "x"), "number of ranks"), (("--what",), "no option of launch")]:
            code, _, error = self.run_it(launch=launch)
            self.assertEqual(code, 2)
            self.assertIn(words, error)

    def test_sigterm_drains_and_the_next_start_goes_on(self):
        self.write_requests(400, 100)
        process = subprocess.Popen(self.words("--max-num-seqs", "2"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + PATIENCE
        while self.lines() < 3 and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 75, error)
        self.assertIn("draining", error)
        self.assertLess(self.lines(), 400)
        code, _, error = self.run_it()
        self.assertEqual((code, self.lines()), (0, 400), error)

    def test_without_recovery_the_cost_of_a_death_is_said_once(self):
        self.write_requests(2, 2)
        code, line, _ = self.run_it(launch=("-n", "2", "--print"))
        words = [word for word in line.split() if word != "--enable-recovery"]
        if len(words) == len(line.split()):
            self.skipTest("only Open MPI 4 has one word for recovery")
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.stderr.count("started without recovery"), 1, done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
