#!/usr/bin/env python3
"""`windlass batch` end to end on a tiny model: answers, errors of the input, forms of input and output, the report."""
import gzip
import json
import os
import subprocess

from batch_runs import DONE, FAILED, MODEL, USAGE, BatchTest, as_lines, chat, completion, main, options, zstd_stored

SIXTEEN = [completion(f"r{i}", list(range(5 + i, 25 + i)), seed=i) for i in range(16)]


class Answers(BatchTest):
    def test_greedy_answers_are_the_reference_ones(self):
        with open(os.path.join(MODEL, "golden.json"), encoding="utf-8") as file:
            prompts = json.load(file)["prompts"]
        self.write("in.jsonl", as_lines(
            completion(p["name"], p["ids"], temperature=0, max_tokens=len(p["continuation"]["ids"]), ignore_eos=True,
                       return_token_ids=True) for p in prompts))

        self.run_batch(precision="f32")

        for p in prompts:
            choice = self.records()[p["name"]]["response"]["body"]["choices"][0]
            self.assertEqual(choice["token_ids"], p["continuation"]["ids"])
            self.assertEqual(choice["prompt_token_ids"], p["ids"])

    def test_completions_have_openai_s_form(self):
        self.write("in.jsonl", as_lines([
            completion("text", ["the time", "and"], n=2, logprobs=3, model="any"),
            completion("scored", "the time of the year", max_tokens=0, echo=True, logprobs=1)]))

        self.run_batch()

        record = self.records()["text"]
        self.assertEqual(list(record), ["id", "custom_id", "response", "error"])
        self.assertIsNone(record["error"])
        self.assertEqual(record["response"]["status_code"], 200)
        body = record["response"]["body"]
        self.assertEqual(body["object"], "text_completion")
        self.assertEqual(body["model"], "any")
        self.assertEqual([c["index"] for c in body["choices"]], [0, 1, 2, 3])
        usage = body["usage"]
        self.assertEqual(usage["total_tokens"], usage["prompt_tokens"] + usage["completion_tokens"])
        for choice in body["choices"]:
            self.assertIn(choice["finish_reason"], ["stop", "length"])
            for top in choice["logprobs"]["top_logprobs"]:
                self.assertIn(len(top), [3, 4])
        choice = self.records()["scored"]["response"]["body"]["choices"][0]
        self.assertEqual(choice["text"], "the time of the year")
        self.assertIsNone(choice["logprobs"]["token_logprobs"][0])
        self.assertTrue(all(x < 0 for x in choice["logprobs"]["token_logprobs"][1:]))

    def test_chats_have_openai_s_form(self):
        self.write("in.jsonl", as_lines([chat("c", "Hello", logprobs=True, top_logprobs=2, max_tokens=4)]))

        self.run_batch(served_model_name="tiny")

        body = self.records()["c"]["response"]["body"]
        self.assertEqual((body["object"], body["model"]), ("chat.completion", "tiny"))
        choice = body["choices"][0]
        self.assertEqual(choice["message"]["role"], "assistant")
        self.assertEqual(len(choice["logprobs"]["content"]), body["usage"]["completion_tokens"])
        self.assertEqual(len(choice["logprobs"]["content"][0]["top_logprobs"]), 2)

    def test_answers_do_not_depend_on_what_else_runs(self):
        self.write("in.jsonl", as_lines(SIXTEEN))
        self.run_batch(output=self.path("together.jsonl"))
        self.run_batch(output=self.path("alone.jsonl"), max_num_seqs=1, max_num_batched_tokens=3, no_prefix_caching=True)
        self.assertEqual(self.comparables("together.jsonl"), self.comparables("alone.jsonl"))


class Errors(BatchTest):
    BAD = [  # line, the error's param, its code, words of its message
        ("not JSON", None, "invalid_json", "JSON"),
        ("[1]", None, "invalid_json", "object"),
        (r'{"custom_id":"a\ud800","url":"/v1/completions","body":{}}', None, "invalid_json", "UTF-8"),
        ('{"custom_id":"twice","custom_id":"twice"}', None, "invalid_json", "custom_id"),
        ({"custom_id": "no url", "body": {"prompt": "x"}}, "url", "invalid_value", "/v1/completions"),
        ({"custom_id": "no body", "url": "/v1/completions"}, "body", "invalid_value", "missing"),
        ({"custom_id": "get", "method": "GET", "url": "/v1/completions", "body": {}}, "method", "invalid_value", "POST"),
        (completion("no prompt", None), "prompt", "invalid_value", "null"),
        (completion("empty", []), "prompt", "empty_prompt", "no tokens"),
        (completion("big id", [512]), "prompt", "invalid_value", "511"),
        (completion("hot", "x", temperature=-1), "temperature", "invalid_value", "-1"),
        (completion("stream", "x", stream=True), "stream", "unsupported_value", "false"),
        (completion("long prompt", [5] * 2000), "prompt", "context_length_exceeded", "1024"),
        (completion("long answer", "x", max_tokens=5000), "max_tokens", "context_length_exceeded", "ask for at most"),
        (completion("other", "x", model="gpt"), "model", "model_not_found", "tiny"),
        (chat("no role", "x", messages=[{"content": "x"}]), "messages", "invalid_value", "messages[0].role"),
        (completion("wide", "x" * 1_100_000), None, "line_too_long", "--max-line-mib"),
        (completion(7, "x"), "custom_id", "invalid_value", "string"),
    ]

    def test_bad_lines_get_error_records_and_cost_nobody_else_anything(self):
        good = [completion("first", "the"), completion("last", "and")]
        self.write("in.jsonl", as_lines([good[0], *[bad[0] for bad in self.BAD], good[1]]))

        out = self.run_batch(served_model_name="tiny", max_line_mib=1, report=self.path("report.json"))[0]

        records = self.records()
        self.assertEqual(len(records), len(self.BAD) + 2)
        for number, (line, param, code, words) in enumerate(self.BAD, start=2):
            named = isinstance(line, dict) and isinstance(line["custom_id"], str) and code != "line_too_long"
            response = records[line["custom_id"] if named else f"line-{number}"]["response"]
            error = response["body"]["error"]
            self.assertEqual((response["status_code"], error["param"], error["code"]), (400, param, code), error)
            self.assertIn(words, error["message"])
        for request in good:
            self.assertEqual(records[request["custom_id"]]["response"]["status_code"], 200)
        report = json.loads(self.read("report.json"))
        self.assertEqual(report["requests"],
                         {"answered": 2, "input_errors": len(self.BAD), "failed": 0, "run_errors": 0, "skipped": 0})
        self.assertIn(f"2 answered, {len(self.BAD)} errors of the input", out)
        self.run_batch(served_model_name="tiny", max_line_mib=1)
        self.assertEqual(self.records(), records)  # errors of the input are finished: nothing is tried again

    def test_a_second_use_of_a_custom_id_is_an_error_and_a_missing_one_is_the_line_number(self):
        nameless = {"url": "/v1/completions", "body": {"prompt": "the", "max_tokens": 2}}
        self.write("in.jsonl", as_lines([completion("a", "the"), "", completion("a", "and"), nameless]))

        self.run_batch()

        lines = [json.loads(line) for line in self.read("out.jsonl").splitlines()]
        self.assertEqual(sorted((r["custom_id"], r["response"]["status_code"]) for r in lines),
                         [("a", 200), ("a", 400), ("line-4", 200)])
        error = next(r["response"]["body"]["error"] for r in lines if r["response"]["status_code"] == 400)
        self.assertEqual(error["code"], "duplicate_custom_id")
        self.assertIn("line 3", error["message"])

    def test_requests_that_the_cache_cannot_hold_are_refused_and_others_answered(self):
        self.write("in.jsonl", as_lines([completion("large", [5] * 500), completion("small", [5] * 50)]))

        error = self.run_batch(kv_cache_memory="96KiB")[1]

        self.assertIn("raise --kv-cache-memory", error)
        self.assertEqual({k: r["response"]["status_code"] for k, r in self.records().items()},
                         {"large": 400, "small": 200})


class Forms(BatchTest):
    def setUp(self):
        super().setUp()
        self.lines = as_lines(SIXTEEN)
        self.write("in.jsonl", self.lines)
        self.run_batch(output=self.path("plain.jsonl"))
        self.expected = self.comparables("plain.jsonl")

    def check(self, name, content):
        self.run_batch(input=self.write(name, content), output=self.path(name + ".out"))
        self.assertEqual(self.comparables(name + ".out"), self.expected)

    def test_line_ends_and_byte_order_marks_do_not_matter(self):
        self.check("crlf", self.lines.replace(b"\n", b"\r\n"))
        self.check("mark", b"\xef\xbb\xbf" + self.lines[:-1])

    def test_compressed_input_is_read(self):
        if not options.compression:
            self.refuse("compressed", "WINDLASS_COMPRESSION", input=self.write("gz", gzip.compress(self.lines)))
            return
        self.check("one.gz", gzip.compress(self.lines))
        self.check("two.gz", gzip.compress(self.lines[:700]) + gzip.compress(self.lines[700:]))
        self.check("one.zst", zstd_stored(self.lines))
        cut = self.write("cut.gz", gzip.compress(self.lines)[:-9])
        self.refuse("cut.gz", "cut off", input=cut, output=self.path("cut.out"))

    def test_standard_input_and_output_can_be_used(self):
        process = self.start(self.words(input="-", output="-"), stdin=subprocess.PIPE)
        out, error = self.finish(process, DONE, self.lines)
        self.write("stdout", out)
        self.assertEqual(self.comparables("stdout"), self.expected)
        self.assertIn("cannot be resumed", error)

    def test_an_empty_input_is_done_at_once(self):
        out = self.run_batch(input=self.write("empty", b""), output=self.path("none"))[0]
        self.assertEqual(self.read("none"), b"")
        self.assertIn("0 answered", out)

    def test_a_reader_that_goes_away_ends_the_run_with_a_message(self):
        with open(self.path("log"), "wb") as log:
            words = self.words(input="-", output="-")
            process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        self.processes.append(process)
        process.stdout.close()
        process.stdin.write(self.lines)
        process.stdin.close()
        self.assertEqual(process.wait(timeout=60), FAILED)
        self.assertIn(b"standard output", self.read("log"))


class Commands(BatchTest):
    def setUp(self):
        super().setUp()
        self.write("in.jsonl", as_lines(SIXTEEN[:2]))

    def test_help_names_every_option_and_exit_code(self):
        out = self.finish(self.start([options.program, "batch", "--help"]), DONE)[0]
        for word in ["--model", "--input", "--output", "--report", "--config", "SIGTERM", "SIGUSR1", "75", "again"]:
            self.assertIn(word, out)

    def test_wrong_options_are_refused_by_name(self):
        self.refuse("--model is missing", model=None)
        self.refuse("--colour", colour="red")
        self.refuse("--threads", "many", threads="many")
        self.refuse("--max-num-seqs 0", max_num_seqs=0)
        self.refuse("--precision int3", "f32", precision="int3")
        self.refuse("--kv-cache-memory 4Q", "4GiB", kv_cache_memory="4Q")
        self.refuse("--kv-cache-memory 1", "24576 bytes", kv_cache_memory="1KiB")
        self.refuse("--max-model-len", "1024", max_model_len=100_000)
        error = self.finish(self.start([*self.words(), "stray"]), USAGE)[1]
        self.assertIn("'stray'", error)
        self.assertFalse(os.path.exists(self.path("out.jsonl")))

    def test_wrong_paths_are_refused_before_any_work(self):
        self.refuse("--model nowhere", "no such file", model="nowhere")
        self.refuse(self.folder, "config.json", model=self.folder)
        self.refuse("in.jsonl", "not a GGUF", model=self.path("in.jsonl"))
        self.refuse("--input nowhere", input="nowhere")
        self.refuse("--input", "folder", input=self.folder)
        self.refuse("--output", "no folder", output=self.path("no/out"))
        self.refuse("--output", "folder", output=self.folder)
        self.refuse("one file", output=self.path("in.jsonl"))
        self.refuse("not a regular file", output="/dev/null")
        self.refuse("--report", "no folder", report=self.path("no/report"))
        self.refuse("--status-file", "folder", status_file=self.folder)
        self.refuse("--chat-template nowhere", chat_template="nowhere")
        self.assertEqual(os.listdir(self.folder), ["in.jsonl"])

    def test_a_config_file_stands_behind_the_command_line(self):
        config = self.write("batch.conf", "# a comment\nmax-num-seqs = 3\nquiet = true\nseed = 9\n")
        out = self.run_batch(config=config, seed=4, report=self.path("report.json"))[0]
        used = json.loads(self.read("report.json"))["configuration"]
        self.assertEqual((used["max-num-seqs"], used["seed"], out), ("3", "4", ""))
        self.refuse("batch.conf", "colour", config=self.write("batch.conf", "colour = red\n"))
        self.refuse("--config nowhere", config="nowhere")


class Reports(BatchTest):
    def test_the_report_says_what_was_done_with_what(self):
        self.write("in.jsonl", as_lines(SIXTEEN))
        out = self.run_batch(report=self.path("report.json"), status_file=self.path("status"))[0]

        report = json.loads(self.read("report.json"))
        tokens = [json.loads(r)["response"]["body"]["usage"] for r in self.read("out.jsonl").splitlines()]
        self.assertEqual(report["status"], "done")
        self.assertEqual(report["tokens"]["prompt"], sum(u["prompt_tokens"] for u in tokens))
        self.assertEqual(report["tokens"]["generated"], sum(u["completion_tokens"] for u in tokens))
        for name in ["ttft_ms", "tpot_ms"]:
            self.assertGreaterEqual(report[name]["p99"], report[name]["p50"])
            self.assertGreater(report[name]["p50"], 0)
        self.assertGreater(report["machine_limit"]["read_gb_per_s"], 0)
        self.assertEqual(report["configuration"]["threads"], "1")
        self.assertEqual(report["model"]["path"], MODEL)
        self.assertEqual(len(report["arithmetic"]), 1)
        for key in ["windlass", "commit", "mpi"]:
            self.assertIn(key, report["versions"])
        self.assertIn("16 answered", out)
        self.assertEqual(self.read("status").split(b"\n")[0], b"done")

    def test_memory_does_not_grow_with_the_number_of_lines(self):
        count = 2_000 if options.sanitized else 100_000
        kinds = [lambda i: completion(f"r{i}", [5, 6, i % 500], max_tokens=1, echo=True, logprobs=2),
                 lambda i: completion(f"r{i}", "the time", max_tokens=0), lambda i: f"bad {i}"]
        self.write("in.jsonl", as_lines(kinds[min(i % 16, 2)](i) for i in range(count)))

        self.run_batch(report=self.path("report.json"), quiet=True)

        self.assertEqual(self.read("out.jsonl").count(b"\n"), count)
        report = json.loads(self.read("report.json"))
        self.assertEqual(sum(report["requests"].values()), count)
        over = report["machine"]["peak_resident_bytes"] - report["model"]["weight_bytes"] - report["engine"]["kv_bytes"]
        self.assertGreater(report["machine"]["peak_resident_bytes"], 0)
        if not options.sanitized:
            self.assertLess(over, 150 << 20)


if __name__ == "__main__":
    main()
