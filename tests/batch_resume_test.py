#!/usr/bin/env python3
"""`windlass batch` stopped in every way, and started again: every request is answered exactly once, as if nothing had
happened."""
import json
import os
import random
import resource
import signal
import subprocess
import time

from batch_runs import (AGAIN, DONE, FAILED, MODEL, ROOT, BatchTest, as_lines, completion, main, options)
from step_gate import StepGate, let_go_on, wait_until_taken


def requests(count):
    """Some short, some long, some sampled, some wrong: as real batches are."""
    lines = [completion(f"r{i}", [5 + i % 50, 6, 7, i % 90], max_tokens=20 + i * 7 % 200, temperature=i % 3 / 2,
                        ignore_eos=True, logprobs=i % 2 or None) for i in range(count)]
    return lines[:20] + ["wrong"] + lines[20:40] + [completion("r5", "again", max_tokens=3)] + lines[40:]


class Stopped(BatchTest):
    """Batches that take a second or more, and the answers of a run that nobody stopped."""

    undisturbed = None

    def setUp(self):
        super().setUp()
        self.slow = {"max_num_seqs": 4, "status_file": self.path("status"), "report": self.path("report.json")}
        self.write("in.jsonl", as_lines(requests(60 if options.sanitized else 300)))
        if not Stopped.undisturbed:
            self.run_batch(**self.slow, output=self.path("undisturbed.jsonl"))
            Stopped.undisturbed = self.answers("undisturbed.jsonl"), len(self.read("undisturbed.jsonl"))
        self.expected, self.expected_bytes = Stopped.undisturbed

    def answers(self, name):
        """(custom_id, status) -> record: a duplicate's error stands beside the answer of its custom_id."""
        found = {}
        for line in self.read(name).decode().rstrip("\n").split("\n"):  # texts may hold other line ends
            record = json.loads(line)
            key = (record["custom_id"], record["response"]["status_code"])
            self.assertNotIn(key, found, "answered twice")
            record["response"]["body"].pop("created", None)
            record["response"]["body"].get("usage", {}).pop("prompt_tokens_details", None)
            found[key] = json.dumps(record)
        return found

    def lines_done(self):
        return self.read("out.jsonl").count(b"\n") if os.path.exists(self.path("out.jsonl")) else 0

    def start_and_wait(self, more_lines, words=None, **how):
        """Starts a run and waits until it has written so many more lines."""
        goal = self.lines_done() + more_lines
        process = self.start(words or self.words(**self.slow), **how)
        self.wait_for(lambda: self.lines_done() >= goal, process)
        return process

    def stop_after(self, lines, signal_number, **changes):
        """A run that is told to end when it has written so many lines, however fast it is."""
        gate = StepGate(self.path("steps"))
        self.addCleanup(gate.close)
        process = self.start(self.words(**self.slow, record=gate.path, **changes))
        let_go_on([gate], lambda: self.lines_done() >= lines)
        process.send_signal(signal_number)
        wait_until_taken(process, signal_number)
        let_go_on([gate], lambda: process.poll() is not None)
        self.finish(process, AGAIN)

    def check_finished(self):
        self.assertEqual(self.answers("out.jsonl"), self.expected)
        self.assertEqual(self.read("status").split(b"\n")[0], b"done")

    def check_drained(self):
        """What a drained run leaves: whole records of right answers, and the word for it."""
        self.assertEqual(self.read("status").split(b"\n")[0], b"again")
        found = self.answers("out.jsonl")
        self.assertLess(len(found), len(self.expected))
        self.assertEqual(found, {key: self.expected[key] for key in found})
        report = json.loads(self.read("report.json"))
        self.assertEqual(report["status"], "again")
        return report, found

    def test_killed_at_random_moments_every_request_is_answered_exactly_once(self):
        dice, kills = random.Random(11), 0
        for more_lines in [0, 1, 0, 0, 1, 40, 0, 1]:
            process = self.start_and_wait(more_lines)
            time.sleep(dice.uniform(0, 0.08))  # while it loads, writes, syncs, or computes
            process.kill()
            kills += process.wait() == -signal.SIGKILL
        self.assertGreater(kills, 3)

        self.run_batch(**self.slow)

        self.check_finished()

    def test_a_file_cut_anywhere_is_completed(self):
        self.run_batch(**self.slow)
        whole, dice = self.read("out.jsonl"), random.Random(12)
        for length in [0, 1, len(whole) - 1, *(dice.randrange(len(whole)) for _ in range(3))]:
            self.write("out.jsonl", whole[:length])
            error = self.run_batch(**self.slow)[1]
            self.check_finished()
            if whole[:length] and whole[length - 1:length] != b"\n":
                self.assertIn("of a half-written answer", error)

    def test_sigterm_drains_and_the_next_run_goes_on(self):
        self.stop_after(5, signal.SIGTERM)
        report, found = self.check_drained()
        self.assertEqual(report["requests"]["answered"] + report["requests"]["input_errors"], len(found))

        out = self.run_batch(**self.slow)[0]

        self.check_finished()
        self.assertIn(f"{len(found)} answered before", out)

    def test_without_time_to_drain_running_requests_are_left_to_the_next_run(self):
        self.stop_after(5, signal.SIGUSR1, drain_seconds=0)
        self.check_drained()
        self.run_batch(**self.slow)
        self.check_finished()

    def test_a_signal_ends_the_wait_for_a_silent_pipe(self):
        reader, writer = os.pipe()
        self.addCleanup(os.close, writer)
        process = self.start(self.words(**self.slow, input="-"), stdin=reader)
        os.close(reader)
        self.wait_for(lambda: os.path.exists(self.path("out.jsonl.windlass.json")), process)
        process.send_signal(signal.SIGTERM)
        self.finish(process, AGAIN)
        self.assertEqual(self.read("out.jsonl"), b"")

    def test_sigusr1_under_mpirun_drains(self):
        if not options.mpirun:
            self.skipTest("no mpirun was named")
        count = 300 if options.sanitized else 3000  # mpirun may take a second or two to pass a signal on
        self.write("in.jsonl", as_lines(requests(count)))
        words = [options.mpirun, "-n", "1", *self.words(**self.slow)]
        process = self.start_and_wait(5, words)
        process.send_signal(signal.SIGUSR1)
        process.communicate(timeout=120)
        self.assertEqual(self.read("status").split(b"\n")[0], b"again")
        drained = self.answers("out.jsonl")
        self.assertLess(len(drained), count)

        self.finish(self.start(words), DONE)

        found = self.answers("out.jsonl")
        self.assertEqual(len(found), count + 2)
        for key, answer in [*drained.items(), *self.expected.items()]:  # the latter is the beginning of this batch
            if key[1] == 200:  # errors name a line, which differs
                self.assertEqual(found[key], answer)

    def test_a_full_disk_loses_nothing_that_was_counted(self):
        limit = self.expected_bytes // 2

        def small_files():
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        error = self.finish(self.start(self.words(**self.slow), preexec_fn=small_files), FAILED)[1]

        self.assertIn("out.jsonl: cannot write: File too large", error)
        self.assertEqual(self.read("status").split(b"\n")[0], b"failed")
        report = json.loads(self.read("report.json"))
        counted = report["requests"]["answered"] + report["requests"]["input_errors"]
        self.assertEqual((report["status"], counted), ("failed", len(self.answers("out.jsonl"))))
        self.run_batch(**self.slow)
        self.check_finished()


class Changed(BatchTest):
    def setUp(self):
        super().setUp()
        self.write("in.jsonl", as_lines(requests(3)[:5]))
        self.run_batch(seed=3)

    def test_another_model_input_or_option_is_refused_by_name(self):
        before = self.read("out.jsonl")
        self.refuse("model: was", "mistral", seed=3, model=os.path.join(ROOT, "inputs/reference/mistral-window128"))
        self.refuse("--seed: was 3, is 4", seed=4)
        self.refuse("--precision: was fast, is f32", seed=3, precision="f32")
        self.refuse("--max-model-len: was 1024, is 512", "--overwrite", seed=3, max_model_len=512)
        self.refuse("input: was", seed=3, input=self.write("other.jsonl", as_lines([completion("x", "y")])))
        self.refuse("arithmetic", "--allow-different-arithmetic", seed=3, backend="reference")
        self.assertEqual(self.read("out.jsonl"), before)

    def test_another_arithmetic_is_marked_where_it_is_allowed(self):
        self.write("out.jsonl", b"")
        self.run_batch(seed=3, backend="reference", allow_different_arithmetic=True, report=self.path("report.json"))
        report = json.loads(self.read("report.json"))
        self.assertTrue(report["mixed_arithmetic"])
        self.assertEqual(len(report["arithmetic"]), 2)

    def test_a_foreign_file_is_refused_and_overwrite_begins_anew(self):
        self.write("foreign.txt", b"my thesis\n")
        self.refuse("foreign.txt", "--overwrite", output=self.path("foreign.txt"))
        self.assertEqual(self.read("foreign.txt"), b"my thesis\n")
        self.run_batch(seed=4, overwrite=True)
        self.assertEqual(len(self.read("out.jsonl").splitlines()), 5)

    def test_a_second_job_on_the_same_output_is_refused(self):
        first = self.start(self.words(input="-", output=self.path("new"), status_file=self.path("status")),
                           stdin=subprocess.PIPE)
        self.wait_for(lambda: os.path.exists(self.path("new.windlass.json")), first)
        self.refuse("is being written by", f"process {first.pid}", output=self.path("new"),
                    status_file=self.path("status"))
        self.assertEqual(self.read("status").split(b"\n")[0], b"running")
        self.finish(first, DONE, b"")


if __name__ == "__main__":
    main()
