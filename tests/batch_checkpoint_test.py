#!/usr/bin/env python3
"""`windlass batch --checkpoint`: stopped anywhere it goes on with the same answers, and pays for no prompt twice."""
import glob
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

from batch_runs import AGAIN, DONE, ROOT, BatchTest, as_lines, completion, main, options
from step_gate import StepGate, let_go_on, wait_until_taken

EIGHT_HEADS = os.path.join(ROOT, "inputs/reference/qwen2-eight-heads")
KILLS = {"sanitized": 5, "usual": 10, "long": 100}


def kills():
    return KILLS["sanitized" if options.sanitized else "long" if options.long else "usual"]


def requests(count):
    """Prompts of some blocks with a common beginning, and answers long enough to be stopped in."""
    lines = []
    for i in range(count):
        prompt = [5 + j % 90 for j in range(200)] + [i % 90 + 5, i // 90 + 5] + [7 + (i + j) % 80 for j in range(i * 13 % 150)]
        lines.append(completion(f"r{i}", prompt, max_tokens=120 + i * 7 % 150, temperature=i % 3 / 2, ignore_eos=True,
                                logprobs=i % 2 or None, n=1 + (i % 5 == 0)))
    return lines


class Checkpointed(BatchTest):
    undisturbed = None

    def setUp(self):
        super().setUp()
        self.kv = self.path("kv")
        self.slow = {"max_num_seqs": 6, "report": self.path("report.json"), "checkpoint": self.kv,
                     "kv_cache_memory": "16MiB"}
        # At least 20 steps for each of them: many times STEPS_AHEAD.
        self.write("in.jsonl", as_lines(requests({5: 40, 10: 110, 100: 900}[kills()])))
        if not Checkpointed.undisturbed:
            self.run_batch(max_num_seqs=6, kv_cache_memory="16MiB", report=self.path("whole.json"),
                           output=self.path("undisturbed.jsonl"))
            Checkpointed.undisturbed = self.comparables("undisturbed.jsonl"), json.loads(self.read("whole.json"))
        self.expected, self.whole = Checkpointed.undisturbed
        self.gates = 0

    def lines_done(self):
        return self.read("out.jsonl").count(b"\n") if os.path.exists(self.path("out.jsonl")) else 0

    def gate(self, end=""):
        """A pipe for --record, or for that of another rank than the first."""
        if not end:
            self.gates += 1
        gate = StepGate(self.path(f"steps-{self.gates}{end}"))
        self.addCleanup(gate.close)
        return gate

    def start_gated(self, **changes):
        """A batch that computes only as far as it is let; its standard error goes to a file."""
        gate = self.gate()
        with open(self.path("error"), "wb") as error:
            process = self.start(self.words(**self.slow | {"record": gate.path} | changes), stderr=error)
        return process, gate

    def said(self, words):
        return lambda: words in self.read("error").decode()

    def stop(self, process, gate):
        """A planned end, between two steps."""
        process.send_signal(signal.SIGTERM)
        wait_until_taken(process, signal.SIGTERM)
        let_go_on([gate], lambda: process.poll() is not None)
        self.end(process, AGAIN)

    def end(self, process, expected):
        process.communicate(timeout=300)
        self.assertEqual(process.returncode, expected, self.read("error"))

    def report(self):
        return json.loads(self.read("report.json"))

    def stop_in_the_middle(self, steps=80, **changes):
        """A planned end with running requests; returns its report."""
        process, gate = self.start_gated(drain_seconds=0, **changes)
        gate.let_compute(steps)
        self.stop(process, gate)
        return self.report()

    def parts(self):
        return sorted(glob.glob(os.path.join(self.kv, "part-*.h5")))

    def masters(self):
        return sorted(glob.glob(os.path.join(self.kv, "checkpoint-*.h5")))

    def test_a_planned_end_loses_nothing(self):
        for _ in range(3):
            report = self.stop_in_the_middle()
            self.assertEqual(report["checkpoint"]["written"], 1)
            self.assertEqual(report["checkpoint"]["recomputed_tokens"], 0)

        out = self.run_batch(**self.slow)[0]

        self.assertEqual(self.comparables(), self.expected)
        found = self.report()["checkpoint"]
        self.assertGreater(found["restored_requests"], 0)
        self.assertEqual((found["recomputed_tokens"], found["seconds_spent_twice"]), (0, 0))
        self.assertIn(f"{found['restored_requests']} requests, {found['restored_tokens']} tokens", out)

    def test_a_kill_costs_no_more_than_what_came_after_the_last_checkpoint(self):
        process, gate = self.start_gated(checkpoint_interval=0.1, checkpoint_rate=0)
        let_go_on([gate], lambda: len(self.masters()) > 1)
        process.kill()
        self.assertEqual(process.wait(), -signal.SIGKILL)
        self.run_batch(**self.slow)
        self.assertEqual(self.comparables(), self.expected)
        self.assertGreater(self.report()["checkpoint"]["restored_tokens"], 0)

    def test_killed_at_random_moments_of_writing_the_newest_or_the_previous_restores(self):
        dice, count = random.Random(5), kills()
        for kill in range(count):
            # A slow rate: most of the time a checkpoint is being written. Every other time one is on disk before.
            found = lambda: set(glob.glob(os.path.join(self.kv, "checkpoint-*.h5" if kill % 2 else "part-*")))
            before = {path for path in found() if path.endswith(".h5")}
            process, gate = self.start_gated(checkpoint_interval=0.02, checkpoint_rate="30MiB")
            self.assertTrue(let_go_on([gate], lambda: found() - before), self.read("error"))
            end = time.monotonic() + dice.uniform(0, 0.1)
            let_go_on([gate], lambda: time.monotonic() > end)
            process.kill()
            self.assertEqual(process.wait(), -signal.SIGKILL)
            if self.masters():
                shown = subprocess.run([options.program, "inspect", self.kv], capture_output=True, text=True)
                self.assertEqual(shown.returncode, 0, shown.stdout + shown.stderr)
                self.assertIn(" 0 damaged, 0 missing", shown.stdout)
            self.assertTrue(self.masters() or kill == 0)  # at the second kill one had been written

        error = self.run_batch(**self.slow)[1]

        self.assertNotIn("cannot be used", error)
        self.assertEqual(self.comparables(), self.expected)

    def test_damaged_and_missing_files_cost_time_and_nothing_else(self):
        for damage in (self.flip, self.cut, os.remove):
            self.stop_in_the_middle()
            damage(self.parts()[-1])
            error = self.run_batch(**self.slow)[1]
            self.assertEqual(self.comparables(), self.expected)
            if damage != self.flip:
                self.assertIn("cannot be used", error)
            os.remove(self.path("out.jsonl"))
            os.remove(self.path("out.jsonl.windlass.json"))
            shutil.rmtree(self.kv)

    def flip(self, path):
        """A byte in the middle: of a page, most likely."""
        with open(path, "r+b") as file:
            file.seek(os.path.getsize(path) // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 64]))

    def cut(self, path):
        os.truncate(path, os.path.getsize(path) // 2)

    def test_no_room_ends_no_run_and_leaves_the_previous_checkpoint(self):
        self.stop_in_the_middle()
        before = sorted(os.listdir(self.kv))
        process, gate = self.start_gated(checkpoint_interval=0.01, checkpoint_size="1MiB")
        let_go_on([gate], self.said("the one before stays"))
        gate.open()
        self.end(process, DONE)
        self.assertTrue(self.said("no room for a checkpoint")())
        self.assertEqual(sorted(os.listdir(self.kv)), before)
        self.assertEqual(self.comparables(), self.expected)
        self.assertGreater(self.report()["checkpoint"]["failed"], 0)

    def test_what_cannot_be_used_is_refused_with_the_reason(self):
        self.stop_in_the_middle()
        other = {"output": self.path("other.jsonl"), "checkpoint": self.kv}
        self.refuse("the checkpoint is of another run", "model: was", "name another --checkpoint",
                    model=os.path.join(ROOT, "inputs/reference/mistral-window128"), **other)
        for number, changes in enumerate(({"precision": "f32"}, {"backend": "reference"})):
            self.refuse("was computed with", "--allow-different-arithmetic",
                        **other | {"output": self.path(f"other{number}.jsonl")} | changes)
        self.refuse("make the folder", expected=1, output=self.path("third.jsonl"),
                    checkpoint=self.path("in.jsonl") + "/kv")
        self.refuse("--checkpoint-interval", **other | {"checkpoint_interval": -1})
        self.assertEqual(self.comparables().items() - self.expected.items(), set())

    def test_a_second_job_may_not_use_the_folder(self):
        process, gate = self.start_gated(drain_seconds=0)
        gate.let_compute(1)
        self.refuse("another job writes its checkpoints there", output=self.path("other.jsonl"), checkpoint=self.kv)
        self.stop(process, gate)

    def on_ranks(self, ranks, **changes):
        words = self.words(**self.slow | {"status_file": self.path("status"), "transport": "message"} | changes)
        return self.start([words[0], "launch", "-n", str(ranks), *words[1:]] if ranks > 1 else words)

    def stop_ranks(self, held_back, parts, **changes):
        """A planned end of four ranks; those that are held back have unfinished requests."""
        if not options.mpirun:
            self.skipTest("no mpirun was named")
        gates = {rank: self.gate(f".rank{rank}" if rank else "") for rank in range(4)}
        for rank, gate in gates.items():
            if rank not in held_back:
                gate.open()
        held = [gates[rank] for rank in held_back]
        process = self.on_ranks(4, drain_seconds=0, record=gates[0].path, lost_after_seconds=300, **changes)
        let_go_on(held, lambda: all(gate.steps >= 100 for gate in held))
        process.send_signal(signal.SIGUSR1)
        let_go_on(held, self.parts, most_steps=0)  # another has been told to write its part, so all are
        let_go_on(held, lambda: process.poll() is not None)
        error = self.finish(process, AGAIN)[1]
        self.assertEqual(len(self.parts()), parts, error)
        shown = subprocess.run([options.program, "inspect", self.kv], capture_output=True, text=True)
        self.assertEqual(shown.stdout.count(" 0 damaged, 0 missing"), parts, shown.stdout + shown.stderr)

    def go_on_everywhere(self, places, expected, **changes):
        """From the same checkpoint in each place: (ranks, layout)."""
        shutil.copytree(self.kv, self.path("kept"))
        saved = {name: self.read(name) for name in ("out.jsonl", "out.jsonl.windlass.json")}
        for ranks, layout in places:
            shutil.rmtree(self.kv)
            shutil.copytree(self.path("kept"), self.kv)
            for name, content in saved.items():
                self.write(name, content)
            self.finish(self.on_ranks(ranks, layout=layout, **changes), DONE)
            self.assertEqual(self.comparables(), expected)
            found = self.report()["checkpoint"]
            self.assertGreater(found["restored_requests"], 0, layout)
            self.assertEqual(found["recomputed_tokens"], 0, layout)

    def test_several_ranks_write_and_any_number_of_ranks_goes_on(self):
        count = 25 if options.sanitized else 50
        self.write("in.jsonl", as_lines(requests(count)))
        expected = {f"r{i}": self.expected[f"r{i}"] for i in range(count)}
        self.stop_ranks((2, 3), parts=4, layout="prefill=2,decode=2", max_num_seqs=1)
        self.go_on_everywhere([(1, "auto"), (3, "prefill=1,decode=2")], expected)

    def test_ranks_that_share_a_model_write_what_other_degrees_go_on_with(self):
        count = 10 if options.sanitized else 30
        self.write("in.jsonl", as_lines(requests(count)))
        self.run_batch(model=EIGHT_HEADS, output=self.path("whole.jsonl"))
        expected = self.comparables("whole.jsonl")
        self.stop_ranks((2,), parts=2, layout="mixed=2xtp2", model=EIGHT_HEADS, max_num_seqs=3)
        self.go_on_everywhere([(1, "auto"), (3, "mixed=1xtp2,controller=dedicated"), (2, "mixed=1xpp2")], expected, model=EIGHT_HEADS)

    def test_stages_write_what_any_layout_goes_on_with(self):
        count = 10 if options.sanitized else 30
        self.write("in.jsonl", as_lines(requests(count)))
        self.run_batch(model=EIGHT_HEADS, output=self.path("whole.jsonl"))
        expected = self.comparables("whole.jsonl")
        self.stop_ranks((2,), parts=2, layout="mixed=2xpp2", model=EIGHT_HEADS, max_num_seqs=3)
        self.go_on_everywhere([(1, "auto"), (2, "mixed=1xtp2")], expected, model=EIGHT_HEADS)

    def test_inspect_and_hdf5_tools_read_it(self):
        self.stop_in_the_middle()
        shown = subprocess.run([options.program, "inspect", self.kv], capture_output=True, text=True)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        for part in ("at a planned end", "layer group 0: 3 layers", " 0 damaged, 0 missing", "prompt tokens"):
            self.assertIn(part, shown.stdout)
        dump = shutil.which("h5dump")
        python = next((p for p in (sys.executable, "/usr/bin/python3")
                       if subprocess.run([p, "-c", "import h5py"], capture_output=True).returncode == 0), None)
        if not dump or not python:
            self.skipTest("h5dump or h5py is not installed")
        master = sorted(glob.glob(os.path.join(self.kv, "checkpoint-*.h5")))[-1]
        for file in (master, self.parts()[-1]):
            text = subprocess.run([dump, "-H", file], capture_output=True, text=True, check=True).stdout
            self.assertIn("DATASET", text)
        listed = subprocess.run([python, os.path.join(ROOT, "inputs/list_checkpoint.py"), self.kv],
                                capture_output=True, text=True)
        self.assertEqual(listed.returncode, 0, listed.stderr)
        self.assertIn("generated, KV of", listed.stdout)
        self.assertEqual(listed.stdout.count("  request "), shown.stdout.count("    request "))


if __name__ == "__main__":
    main()
