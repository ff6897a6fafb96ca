"""`windlass bench-serve` against a running server."""
import csv
import json
import pathlib
import subprocess
import tempfile
import unittest

import harness

TRACE = harness.ROOT / "inputs/traces/azure_2023_conv_64.csv"


class Load(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server()
        cls.addClassCleanup(cls.server.__exit__)
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)

    def bench(self, *options, code=0, environment=None):
        """(report, standard output) of one run."""
        report = self.folder / "report.json"
        report.unlink(missing_ok=True)
        run = subprocess.run([harness.PROGRAM, "bench-serve", "--endpoint-file", str(self.server.endpoint_file), "--report", str(report), *options],
                             cwd=self.folder, capture_output=True, text=True, timeout=120, env=environment)
        self.assertEqual(run.returncode, code, run.stderr)
        return json.loads(report.read_text()) if report.exists() else run.stderr, run.stdout

    def test_random_requests_are_sent_at_their_rate_and_counted_by_the_server_too(self):
        before = self.server.metrics()
        report, table = self.bench("--num-prompts", "20", "--request-rate", "40", "--random-input-len", "30", "--random-output-len", "6",
                                   "--seed", "5", "--goodput", "ttft:100000", "tpot:0.000001", "--save-detailed")
        after = self.server.metrics()

        self.assertEqual((report["completed"], report["failed"]), (20, 0))
        self.assertEqual((report["total_input_tokens"], report["total_output_tokens"]), (600, 120))
        for name, count in (("vllm:prompt_tokens_total", 600), ("vllm:generation_tokens_total", 120)):
            self.assertEqual(after[name] - before[name], count)
        self.assertEqual(report["model_id"], "tiny")
        self.assertEqual(report["slo_attainment"], {"ttft": 1.0, "tpot": 0.0, "all": 0.0})
        self.assertLess(0, report["median_ttft_ms"])
        self.assertLessEqual(report["median_ttft_ms"], report["p99_ttft_ms"])
        times = [request["at_s"] for request in report["requests"]]
        self.assertEqual(times, sorted(times))
        self.assertGreater(times[-1], 0.1)
        self.assertIn("TTFT", table)

    def test_a_trace_has_its_own_lengths_and_times(self):
        with open(TRACE) as file:
            rows = list(csv.DictReader(file))[:6]
        report, _ = self.bench("--dataset-name", "trace", "--dataset-path", str(TRACE), "--num-prompts", "6", "--speedup", "100", "--save-detailed")

        self.assertEqual([request["prompt_tokens"] for request in report["requests"]], [int(row["ContextTokens"]) for row in rows])
        self.assertEqual([request["output_tokens"] for request in report["requests"]], [int(row["GeneratedTokens"]) for row in rows])
        self.assertAlmostEqual(report["requests"][1]["at_s"], 0.0431, delta=0.002)

    def test_a_trace_with_block_hashes_shares_beginnings(self):
        lines = [{"timestamp": 0, "input_length": 600, "output_length": 2, "hash_ids": [11, 12]},
                 {"timestamp": 300, "input_length": 700, "output_length": 2, "hash_ids": [11, 13]}]
        (self.folder / "trace.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

        report, _ = self.bench("--dataset-name", "trace", "--dataset-path", "trace.jsonl", "--max-concurrency", "1", "--save-detailed")

        self.assertEqual([request["cached_tokens"] for request in report["requests"]], [0, 512])

    def test_chats_of_a_file(self):
        (self.folder / "prompts.jsonl").write_text('{"prompt": "hello"}\n{"messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}\n')
        report, _ = self.bench("--dataset-name", "custom", "--dataset-path", "prompts.jsonl", "--endpoint", "/v1/chat/completions",
                               "--custom-output-len", "5", "--num-prompts", "4", "--ignore-eos")

        self.assertEqual((report["completed"], report["total_output_tokens"]), (4, 16))

    def test_what_fails_is_counted_and_named(self):
        report, table = self.bench("--num-prompts", "3", "--random-input-len", "100000", "--random-output-len", "1", code=1)

        self.assertEqual((report["completed"], report["failed"]), (0, 3))
        self.assertIn("status 400", table)

    def test_mistakes_name_the_option(self):
        for options, word in ((("--request-rate", "0"), "--request-rate"), (("--goodput", "ttft=3"), "--goodput"),
                              (("--dataset-name", "trace"), "--dataset-path"), (("--endpoint", "/v1/x"), "--endpoint"),
                              (("--extra-body", "[]"), "--extra-body"), (("--metric-percentiles", "50,x"), "--metric-percentiles")):
            self.assertIn(word, self.bench(*options, code=2)[0])

    def test_the_server_may_be_named_by_the_environment(self):
        environment = {"OPENAI_BASE_URL": self.server.base_url, "OPENAI_API_KEY": self.server.key}
        run = subprocess.run([harness.PROGRAM, "bench-serve", "--num-prompts", "1", "--random-input-len", "8", "--random-output-len", "2"],
                             cwd=self.folder, capture_output=True, text=True, timeout=60, env=environment)
        self.assertEqual(run.returncode, 0, run.stderr)
        environment["OPENAI_API_KEY"] = "wrong"
        run = subprocess.run([harness.PROGRAM, "bench-serve"], cwd=self.folder, capture_output=True, text=True, timeout=60, env=environment)
        self.assertEqual(run.returncode, 2)
        self.assertIn("OPENAI_API_KEY", run.stderr)

    def test_a_server_on_a_socket(self):
        with tempfile.TemporaryDirectory() as folder, harness.Server("--socket", f"{folder}/s") as server:
            run = subprocess.run([harness.PROGRAM, "bench-serve", "--endpoint-file", str(server.endpoint_file), "--num-prompts", "2",
                                  "--random-input-len", "8", "--random-output-len", "2"], capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, 0, run.stderr)


if __name__ == "__main__":
    harness.main()
