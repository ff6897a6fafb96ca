#!/usr/bin/env python3
"""Batches under a real Slurm on this machine: over several allocations by requeue alone, in arrays, on several ranks."""
import json
import os
import re
import subprocess
import unittest

from batch_runs import MODEL, BatchTest, as_lines, completion, main, options
from slurm_cluster import Cluster, NoSlurm


def requests(count):
    """Longer ones than one allocation of the test can finish, all together."""
    return [completion(f"r{i}", [5 + j % 90 for j in range(100)] + [i % 90 + 5, i // 90 + 5], max_tokens=150 + i * 7 % 150,
                       temperature=i % 3 / 2, ignore_eos=True) for i in range(count)]


class UnderSlurm(BatchTest):
    cluster = None
    problem = ""

    @classmethod
    def setUpClass(cls):
        try:
            cls.cluster = Cluster()
        except NoSlurm as problem:
            cls.problem = str(problem)

    @classmethod
    def tearDownClass(cls):
        if cls.cluster:
            cls.cluster.stop()

    def setUp(self):
        super().setUp()
        if not self.cluster:
            self.skipTest(f"no Slurm here: {self.problem}")

    def submit(self, slurm, batch):
        """The job's number."""
        words = [options.program, "submit", *slurm, *batch]
        done = subprocess.run(words, capture_output=True, text=True, cwd=self.folder, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return int(re.search(r"Submitted batch job (\d+)", done.stdout).group(1))

    def batch(self, **changes):
        return self.words(**{"quiet": None, "kv_cache_memory": "16MiB", "max_num_seqs": 6} | changes)[1:]

    def log(self, name):
        try:
            return self.read(name).decode()
        except FileNotFoundError:
            return ""

    def test_a_batch_is_completed_by_requeue_alone(self):
        self.write("in.jsonl", as_lines(requests(60 if options.sanitized else 600)))
        self.run_batch(output=self.path("undisturbed.jsonl"), kv_cache_memory="16MiB", max_num_seqs=6)
        # Slurm's limits are whole minutes: at first the job is told of less. Five seconds are for leaving.
        self.write("options", "time-left = 6.8\n")
        job = self.submit(["--time", "2", "--log-file", "job.log"],
                          self.batch(config=self.path("options"), drain_seconds=0.1, report=self.path("report.json")))

        ended = self.cluster.wait_for_end(job, 400, lambda restarts: restarts >= 2 and self.write("options", ""))

        self.assertEqual(ended["JobState"], "COMPLETED", self.log("job.log"))
        self.assertEqual(self.comparables(), self.comparables("undisturbed.jsonl"))
        report = json.loads(self.read("report.json"))
        self.assertGreater(report["allocations"], 1, self.log("job.log"))
        self.assertEqual(report["allocations"], int(ended["Restarts"]) + 1)
        self.assertIn("seconds_spent_twice", report["checkpoint"])

    def test_the_end_of_the_job_comes_from_slurm_and_scancel_drains(self):
        self.write("in.jsonl", as_lines(requests(4000)))
        job = self.submit(["--time", "30", "--no-requeue", "--log-file", "job.log"],
                          self.batch(drain_seconds=2, report=self.path("report.json")))
        deadline = 60
        while "records" not in self.log("job.log") and not os.path.exists(self.path("out.jsonl")) and deadline > 0:
            self.cluster.ask("sleep", "0.5")
            deadline -= 0.5
        while not self.log("out.jsonl"):
            self.cluster.ask("sleep", "0.2")
        self.cluster.ask("scancel", "--signal=TERM", "--full", str(job))

        self.cluster.wait_for_end(job, 60)

        self.assertRegex(self.log("job.log"), r"this allocation ends in 1[78]\d\d s \(scontrol\)")
        report = json.loads(self.read("report.json"))
        self.assertEqual(report["status"], "again")
        self.assertEqual(report["checkpoint"]["written"], 1)
        self.assertLess(len(self.records()), 4000)

    def test_without_progress_the_fourth_allocation_does_not_come(self):
        self.write("in.jsonl", as_lines(requests(3)))
        job = self.submit(["--time", "2", "--log-file", "job.log"], self.batch(time_left=0.1, drain_seconds=0.1))

        ended = self.cluster.wait_for_end(job, 120)

        self.assertEqual((ended["JobState"], ended["ExitCode"]), ("FAILED", "75:0"), self.log("job.log"))
        self.assertEqual(ended["Restarts"], "2")
        self.assertIn("3 allocations in a row got no further", self.log("job.log"))

    def test_each_task_of_an_array_answers_its_own_file(self):
        for task in (1, 2):
            self.write(f"in-{task}.jsonl", as_lines([completion(f"t{task}-{i}", [5, 6, 7 + i]) for i in range(5)]))
        job = self.submit(["--array", "1-2", "--time", "2", "--log-file", "array-%a.log"],
                          self.batch(input="in-%a.jsonl", output="out-%a.jsonl"))

        for task in (1, 2):
            ended = self.cluster.wait_for_end(f"{job}_{task}", 60)
            self.assertEqual(ended["JobState"], "COMPLETED", self.log(f"array-{task}.log"))
            self.assertEqual(set(self.records(f"out-{task}.jsonl")), {f"t{task}-{i}" for i in range(5)})

    def test_ranks_of_srun_find_each_other(self):
        if options.without_pmix:
            self.skipTest("this MPI does not know PMIx")
        self.write("in.jsonl", as_lines(requests(4)))
        self.run_batch(output=self.path("one.jsonl"))
        site = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "slurm/site.sh")
        with open(site) as settings:
            self.write("site.sh", settings.read() +
                       "export OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_mpi_yield_when_idle=1\n")
        job = self.submit(["--time", "2", "--nodes", "1", "--ntasks", "2", "--site", "site.sh", "--log-file", "job.log"],
                          self.batch(layout="prefill=1,decode=1", threads=1))

        ended = self.cluster.wait_for_end(job, 120)

        self.assertEqual(ended["JobState"], "COMPLETED", self.log("job.log"))
        self.assertRegex(self.log("job.log"), r"KV handed over +4 requests")
        self.assertEqual(self.comparables(), self.comparables("one.jsonl"))


class Scripts(BatchTest):
    """What needs no Slurm."""

    def dry_run(self, *words):
        done = subprocess.run([options.program, "submit", "--dry-run", *words], capture_output=True, text=True,
                              cwd=self.folder, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def test_a_dry_run_prints_a_script_that_bash_takes(self):
        self.write("in.jsonl", as_lines(requests(1)))
        code, script, error = self.dry_run("--time", "1:30:00", "--partition", "big", "--sbatch", "comment=it's",
                                           *self.words(served_model_name="it's a \"model\" $HOME")[1:])
        self.assertEqual(code, 0, error)
        for line in ("#SBATCH --time=1:30:00", "#SBATCH --partition=big", "#SBATCH --comment=it's", "#SBATCH --requeue"):
            self.assertEqual(script.split("\n").count(line), 1, script)
        self.assertNotIn("--time=60", script)
        self.assertEqual(os.listdir(self.folder), ["in.jsonl"])
        self.write("script", script)
        subprocess.run(["bash", "-n", self.path("script")], check=True)
        arguments = next(line for line in script.split("\n") if line.startswith("ARGUMENTS=("))
        words = subprocess.run(["bash", "-c", arguments + "\nprintf '%s\\n' \"${ARGUMENTS[@]}\""], check=True,
                               capture_output=True, text=True).stdout.split("\n")
        self.assertIn("it's a \"model\" $HOME", words)
        self.assertEqual(words[words.index("--checkpoint") + 1], self.path("out.jsonl") + ".checkpoint")
        self.assertIn("--requeue", words)

    def test_every_script_is_one_that_bash_takes(self):
        folder = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "slurm")
        scripts = [name for name in os.listdir(folder) if name.endswith((".sbatch", ".sh", ".pbs", ".lsf"))]
        self.assertGreater(len(scripts), 5)
        for name in scripts:
            subprocess.run(["bash", "-n", os.path.join(folder, name)], check=True)

    def test_mistakes_are_told_before_anything_is_submitted(self):
        self.write("in.jsonl", as_lines(requests(1)))
        for words, part in ((self.words(input=self.path("none.jsonl"))[1:], "none.jsonl"),
                            (self.words(layout="nonsense=1")[1:], "layout"), ([], "name batch or serve"),
                            (["--time"], "name batch or serve")):
            code, _, error = self.dry_run(*words)
            self.assertEqual(code, 2)
            self.assertIn(part, error)


if __name__ == "__main__":
    main()
