"""Fields beyond OpenAI's: deadlines, priorities, scores from a position on, token names, thoughts."""
import csv
import json
import os
import pathlib
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

import harness

THINKING = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant><think>\n{# </think> #}"


class Fields(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server("--max-num-seqs", "4")
        cls.addClassCleanup(cls.server.__exit__)

    def complete(self, **fields):
        return self.server.json("POST", "/v1/completions", {"prompt": "x", "seed": 1, **fields})

    def test_a_prompt_is_scored_from_a_position_on(self):
        prompt = [5 + i % 90 for i in range(150)]
        whole = self.complete(prompt=prompt, prompt_logprobs=1, max_tokens=1)["choices"][0]["prompt_logprobs"]

        end = self.complete(prompt=prompt, prompt_logprobs=1, prompt_logprobs_start=140, max_tokens=1)

        self.assertEqual(end["choices"][0]["prompt_logprobs"], [None] * 140 + whole[140:])
        self.assertEqual(end["usage"]["prompt_tokens_details"]["cached_tokens"], 128)
        echoed = self.complete(prompt=prompt, prompt_logprobs_start=140, echo=True, logprobs=0, max_tokens=0)["choices"][0]["logprobs"]
        self.assertEqual([x is None for x in echoed["token_logprobs"]], [True] * 140 + [False] * 10)

    def test_tokens_may_be_named_by_their_ids(self):
        choice = self.complete(logprobs=2, max_tokens=3, return_token_ids=True, return_tokens_as_token_ids=True)["choices"][0]
        self.assertEqual(choice["logprobs"]["tokens"], [f"token_id:{token}" for token in choice["token_ids"]])

        chat = {"messages": [{"role": "user", "content": "x"}], "logprobs": True, "top_logprobs": 1, "max_tokens": 2,
                "return_tokens_as_token_ids": True}
        for entry in self.server.json("POST", "/v1/chat/completions", chat)["choices"][0]["logprobs"]["content"]:
            self.assertRegex(entry["token"], "^token_id:[0-9]+$")
            self.assertRegex(entry["top_logprobs"][0]["token"], "^token_id:[0-9]+$")

    def test_only_allowed_tokens_come(self):
        choice = self.complete(allowed_token_ids=[70, 71], max_tokens=8, return_token_ids=True)["choices"][0]
        self.assertLessEqual(set(choice["token_ids"]), {70, 71})

    def test_the_end_of_a_prompt_may_be_kept(self):
        self.assertEqual(self.complete(prompt=list(range(5, 60)), truncate_prompt_tokens=7, max_tokens=1)["usage"]["prompt_tokens"], 7)

    def test_a_deadline_ends_a_request_or_refuses_it_at_once(self):
        long = {"prompt": [5] * 20, "max_tokens": 900, "ignore_eos": True}
        begun = time.monotonic()
        self.complete(**long)  # the server knows its pace now
        seconds = time.monotonic() - begun

        status, headers, body = self.server.request("POST", "/v1/completions", {**long, "deadline_ms": max(1, int(seconds * 100))})
        self.assertEqual((status, json.loads(body)["error"]["code"]), (429, "deadline_exceeded"))
        self.assertGreaterEqual(int(headers["Retry-After"]), 1)

        # With a stop string it might end early, so it begins; 20 ms are not enough for 1,000 tokens.
        cut = {"prompt": [5, 6], "max_tokens": 1000, "stop": ["~~~~~~"], "ignore_eos": True, "deadline_ms": 20, "n": 4}
        status, _, body = self.server.request("POST", "/v1/completions", cut)
        self.assertEqual((status, json.loads(body)["error"]["code"]), (504, "deadline_exceeded"))
        self.assertEqual(self.complete(max_tokens=2, deadline_ms=60_000)["usage"]["completion_tokens"], 2)
        harness.wait_until(lambda: self.server.metrics()["vllm:num_requests_running"] == 0, 5, "the end of late requests")

    def test_priorities_are_checked(self):
        self.assertEqual(self.complete(priority=-3, max_tokens=1)["usage"]["completion_tokens"], 1)
        status, _, body = self.server.request("POST", "/v1/completions", {"prompt": "x", "priority": "high"})
        self.assertEqual((status, json.loads(body)["error"]["param"]), (400, "priority"))


class Thoughts(unittest.TestCase):
    def test_thoughts_are_told_apart_from_the_answer(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "thinking.jinja"
            path.write_text(THINKING)
            with harness.Server("--chat-template", str(path)) as server:
                body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 12, "seed": 3}
                message = server.json("POST", "/v1/chat/completions", body)["choices"][0]["message"]
                hidden = server.json("POST", "/v1/chat/completions", {**body, "include_reasoning": False})["choices"][0]["message"]
                events = server.request("POST", "/v1/chat/completions", {**body, "stream": True})[2].decode().split("\n\n")
                chunks = [json.loads(event.removeprefix("data: ")) for event in events if event.startswith("data: {")]
                formed = server.json("POST", "/v1/chat/completions", {**body, "structured_outputs": {"choice": ["yes"]}})

        self.assertEqual(message["content"], "")
        self.assertGreater(len(message["reasoning_content"]), 0)
        self.assertEqual((hidden["content"], "reasoning_content" in hidden), ("", False))
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        self.assertEqual("".join(delta.get("reasoning_content", "") for delta in deltas), message["reasoning_content"])
        self.assertEqual("".join(delta.get("content", "") for delta in deltas), "")
        self.assertEqual(formed["choices"][0]["message"]["content"], "yes")


class Scores(unittest.TestCase):
    """Log-likelihoods as lm-eval's local-completions asks for and reads them, against those of transformers."""

    def test_continuations_are_scored_as_by_transformers(self):
        golden = json.loads((pathlib.Path(harness.TINY) / "golden.json").read_text())
        prompts = [prompt for prompt in golden["prompts"] if 2 <= len(prompt["ids"]) <= 200]
        with harness.Server("--precision", "f32") as server:
            answer = server.json("POST", "/v1/completions", {"prompt": [prompt["ids"] for prompt in prompts], "temperature": 0,
                                                             "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": True})

        scored = 0
        for prompt, choice in zip(prompts, answer["choices"]):
            ids, context = prompt["ids"], len(prompt["ids"]) // 2
            tokens, scores = choice["logprobs"]["tokens"][context:-1], choice["logprobs"]["token_logprobs"][context:-1]
            wanted = prompt["prompt_logprobs"][context:]
            self.assertEqual(len(scores), len(wanted))
            for ours, theirs in zip(scores, wanted):
                if theirs is not None:
                    self.assertAlmostEqual(ours, theirs, delta=2e-3)
                    scored += 1
            top = choice["logprobs"]["top_logprobs"][context:-1]
            for i, (token, entries) in enumerate(zip(tokens, top), start=max(context, 0)):
                if i > 0 and prompt["argmax_margins"][i - 1] > 0.01:
                    self.assertEqual(max(entries, key=entries.get) == token, prompt["argmax"][i - 1] == ids[i])
        self.assertGreater(scored, 50)


class Accounting(unittest.TestCase):
    def test_every_request_has_its_line(self):
        with tempfile.TemporaryDirectory() as folder:
            log = pathlib.Path(folder) / "use.csv"
            with harness.Server("--accounting-log", str(log)) as server:
                secret = "a very private prompt"
                server.json("POST", "/v1/completions", {"prompt": secret, "max_tokens": 4, "ignore_eos": True})
                server.request("POST", "/v1/completions", {"prompt": "x", "max_tokens": 900, "ignore_eos": True, "deadline_ms": 20, "n": 8,
                                                           "stop": ["~~~~~~"]})
                with server.connect() as client:
                    client.sendall(server.raw_request("/v1/completions", {"prompt": "x", "max_tokens": 900, "stream": True, "ignore_eos": True}))
                    client.recv(2000)
                harness.wait_until(lambda: len(log.read_text().splitlines()) == 4, 10, "three lines")
                text, key, mode = log.read_text(), server.key, stat.S_IMODE(log.stat().st_mode)

        lines = list(csv.DictReader(text.splitlines()))
        self.assertEqual([line["outcome"] for line in lines], ["done", "late", "cancelled"])
        self.assertEqual((lines[0]["user"], lines[0]["route"], lines[0]["completion_tokens"]), ("default", "/v1/completions", "4"))
        self.assertGreater(float(lines[0]["seconds"]), 0)
        self.assertEqual((secret in text, key in text, mode), (False, False, 0o600))


ASKS = """
import json, os, sys, urllib.request
ask = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/completions", json.dumps({"prompt": "x", "max_tokens": 3}).encode(),
                             {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]})
print(json.load(urllib.request.urlopen(ask))["model"], os.environ["OPENAI_MODEL"], "SLURM_GTIDS" in os.environ, "SLURM_JOB_NAME" in os.environ)
sys.exit(7)
"""


class Command(unittest.TestCase):
    def run_beside(self, folder, *words):
        command = [harness.PROGRAM, "serve", "--model", harness.TINY, "--served-model-name", "tiny", "--threads", "1", "--kv-cache-memory",
                   "64MiB", "--quiet", "--report", "report.json", "--accounting-log", "use.jsonl", "--", *words]
        environment = {**os.environ, "SLURM_GTIDS": "0", "SLURM_JOB_NAME": "evaluation"}
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)

    def test_a_command_runs_beside_the_server_which_ends_with_it(self):
        with tempfile.TemporaryDirectory() as folder:
            process = self.run_beside(folder, sys.executable, "-c", ASKS)
            output = process.communicate(timeout=60)[0]
            report = json.loads((pathlib.Path(folder) / "report.json").read_text())
            entry = json.loads((pathlib.Path(folder) / "use.jsonl").read_text())
            left = (pathlib.Path(folder) / "windlass-endpoint.json").exists()

        self.assertEqual((process.returncode, output, left), (7, "tiny tiny False True\n", False))
        self.assertEqual(report["users"]["default"]["completion_tokens"], 3)
        self.assertEqual((report["status"], entry["outcome"], entry["completion_tokens"]), ("done", "done", 3))

    def test_a_signal_reaches_the_command(self):
        with tempfile.TemporaryDirectory() as folder:
            process = self.run_beside(folder, "sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done")
            self.assertEqual(process.stdout.readline(), "ready\n")
            process.terminate()
            code = process.wait(30)
            process.stdout.close()

        self.assertEqual(code, 9)

    def check_family_ends(self, script, signal_sent):
        """The command and a process that it has started end with a server that ends, by the last of several signals, at once."""
        with tempfile.TemporaryDirectory() as folder:
            process = self.run_beside(folder, "sh", "-c", script)
            family = process.stdout.readline().split()
            self.assertTrue(all(map(harness.is_running, family)))
            harness.wait_until(lambda: process.send_signal(signal_sent) or process.poll() is not None, 20, "the server's end")
            process.stdout.close()
            harness.wait_until(lambda: not any(map(harness.is_running, family)), 20, "the end of the command")

    def test_a_command_ends_with_a_server_that_is_killed(self):
        self.check_family_ends("sleep 300 & echo $$ $!; wait", signal.SIGKILL)

    def test_a_command_that_does_not_listen_ends_with_a_server_that_ends_at_once(self):
        self.check_family_ends("trap '' TERM; sleep 300 & echo $$ $!; wait", signal.SIGTERM)

    def test_a_command_that_is_not_there_is_an_error(self):
        with tempfile.TemporaryDirectory() as folder:
            process = self.run_beside(folder, "no-such-command")
            process.communicate(timeout=60)

        self.assertEqual(process.returncode, 2)


if __name__ == "__main__":
    harness.main()
