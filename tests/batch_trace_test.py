#!/usr/bin/env python3
"""windlass batch --trace: the steps, handoffs and waits of every rank, whose sums are those of the report.

  batch_trace_test.py WINDLASS MODEL LAUNCHER [FLAG …]      LAUNCHER FLAG… is completed with: -n RANKS
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

PROGRAM, MODEL, LAUNCHER = sys.argv[1], sys.argv[2], sys.argv[3:]
REQUESTS, PROMPT, OUT = 12, 150, 6


class Trace(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        with open(self.folder / "in.jsonl", "w") as out:
            for i in range(REQUESTS):
                body = {"prompt": [(7 + i * 3 + j * 31) % 300 + 3 for j in range(PROMPT)], "max_tokens": OUT,
                        "ignore_eos": True}
                print(json.dumps({"method": "POST", "url": "/v1/completions", "body": body}), file=out)

    def run_batch(self, ranks, *options, trace=None):
        """The report, and the events of the trace."""
        trace = trace or self.folder / "trace.json"
        launch = [*LAUNCHER, "-n", str(ranks)] if ranks > 1 else []
        done = subprocess.run([*launch, PROGRAM, "batch", "--model", MODEL, "--input", str(self.folder / "in.jsonl"),
                               "--output", str(self.folder / "out.jsonl"), "--report", str(self.folder / "report"),
                               "--overwrite", "--quiet", "--trace", str(trace), *options], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.told = done.stderr
        return json.loads((self.folder / "report").read_text()), trace

    def events(self, trace):
        return json.loads(trace.read_text())["traceEvents"]

    def check_steps(self, report, events, ranks):
        """Of the ranks that know their tokens: every token of the report is in one step."""
        steps = [e for e in events if e.get("cat") == "step" and e["pid"] in ranks]
        total = lambda name: sum(e["args"][name] for e in steps)
        self.assertEqual(total("generated_tokens"), report["tokens"]["generated"])
        self.assertEqual(total("prompt_tokens"), REQUESTS * PROMPT - report["tokens"]["cached"])
        for rank in ranks:
            times = sorted((e["ts"], e["dur"]) for e in events if e["pid"] == rank and e["ph"] == "X")
            self.assertTrue(times, f"rank {rank} did nothing")
            for (begin, length), (following, _) in zip(times, times[1:]):
                self.assertLessEqual(begin + length, following + 2, f"rank {rank} does two things at once")

    def test_one_rank_tells_its_steps(self):
        report, trace = self.run_batch(1)
        self.check_steps(report, self.events(trace), {0})

    def test_both_sides_of_a_handoff_are_on_one_clock(self):
        for transport, kinds in (("window", {"b": 2, "e": 2}), ("shared", {"b": 1, "e": 1})):
            with self.subTest(transport):
                report, trace = self.run_batch(2, "--layout", "prefill=1,decode=1", "--transport", transport)
                events = self.events(trace)
                self.check_steps(report, events, {0, 1})
                names = {e["pid"]: e["args"]["name"] for e in events if e["ph"] == "M"}
                self.assertEqual(names, {0: "rank 0: prefill, instance 0", 1: "rank 1: decode, instance 1"})
                handoffs = [e for e in events if e.get("cat") == "kv"]
                count = {ph: sum(e["ph"] == ph for e in handoffs) for ph in "be"}
                self.assertEqual(count, {ph: sides * REQUESTS for ph, sides in kinds.items()})
                first_prefill = min(e["ts"] + e["dur"] for e in events if e["name"].startswith("prefill"))
                first_offer = min(e["ts"] for e in handoffs if e["ph"] == "b" and e["pid"] == 0)
                first_decode = min(e["ts"] for e in events if e["name"].startswith("decode") and e["pid"] == 1)
                self.assertLessEqual(first_prefill, first_offer + 2)
                self.assertLess(first_offer, first_decode)

    def test_the_other_rank_of_an_instance_computes_in_its_leaders_steps(self):
        report, trace = self.run_batch(2, "--layout", "mixed=1xtp2")
        events = self.events(trace)
        self.check_steps(report, events, {0})
        steps = {rank: [e for e in events if e.get("cat") == "step" and e["pid"] == rank] for rank in (0, 1)}
        self.assertGreater(len(steps[1]), 0)
        self.assertLessEqual(len(steps[1]), len(steps[0]))
        for e in steps[1]:
            self.assertTrue(any(l["ts"] <= e["ts"] <= l["ts"] + l["dur"] for l in steps[0]), e)

    def test_a_full_disk_ends_the_trace_and_not_the_job(self):
        report, _ = self.run_batch(1, trace=pathlib.Path("/dev/full"))
        self.assertEqual(report["requests"]["answered"], REQUESTS)
        self.assertIn("--trace /dev/full", self.told)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
