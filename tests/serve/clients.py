"""Real clients against a running server: the openai package, sync, async and streaming, and curl."""
import asyncio
import hashlib
import json
import os
import pathlib
import re
import signal
import stat
import subprocess
import tempfile
import unittest

import harness

try:
    import openai
except ImportError:
    harness.skip_all("needs the Python package openai; tests/run.sh installs it")

GREEDY = {"model": "tiny", "temperature": 0, "max_tokens": 8}


def joined(chunks):
    """Text and finish reasons of a completion's stream, by choice."""
    texts, reasons = {}, {}
    for chunk in chunks:
        for choice in chunk.choices:
            piece = choice.text if hasattr(choice, "text") else choice.delta.content or ""
            texts[choice.index] = texts.get(choice.index, "") + piece
            reasons[choice.index] = choice.finish_reason or reasons.get(choice.index)
    return texts, reasons


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server()
        cls.addClassCleanup(cls.server.__exit__)
        cls.client = openai.OpenAI(base_url=cls.server.base_url, api_key=cls.server.key, max_retries=0)

    def test_lists_and_retrieves_the_model(self):
        models = self.client.models.list().data

        self.assertEqual([model.id for model in models], ["tiny"])
        self.assertGreater(models[0].max_model_len, 100)
        self.assertEqual(self.client.models.retrieve("tiny").id, "tiny")

    def test_answers_equal_those_of_a_batch(self):
        bodies = [{"prompt": "one two", **GREEDY},
                  {"prompt": [5, 6, 7, 8], "max_tokens": 6, "seed": 3, "n": 3, "logprobs": 2},
                  {"prompt": ["a b c", [9, 10]], "echo": True, "logprobs": 1, "max_tokens": 4, "seed": 9},
                  {"prompt": "x", "max_tokens": 12, "seed": 1, "stop": ["e"], "min_tokens": 2, "top_p": 0.9, "top_k": 20},
                  {"prompt": "scored", "echo": True, "logprobs": 0, "max_tokens": 0}]
        chat = [{"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9, "seed": 5, "logprobs": True, "top_logprobs": 2}]
        with tempfile.TemporaryDirectory() as folder:
            expected = harness.batch(folder, bodies) + harness.batch(folder, chat, url="/v1/chat/completions")

        answers = [self.server.json("POST", "/v1/completions", body) for body in bodies]
        answers += [self.server.json("POST", "/v1/chat/completions", body) for body in chat]

        for answer, wanted in zip(answers, expected):
            self.assertEqual(answer["choices"], wanted["choices"])
            for count in ("prompt_tokens", "completion_tokens", "total_tokens"):
                self.assertEqual(answer["usage"][count], wanted["usage"][count])

    def test_streams_add_up_to_the_whole_answer(self):
        request = {"model": "tiny", "prompt": ["one", "two three"], "n": 2, "seed": 4, "max_tokens": 12, "echo": True,
                   "logprobs": 1, "stop": ["zz"]}
        whole = self.client.completions.create(**request)

        chunks = list(self.client.completions.create(**request, stream=True, stream_options={"include_usage": True}))

        texts, reasons = joined(chunks)
        self.assertEqual(texts, {choice.index: choice.text for choice in whole.choices})
        self.assertEqual(reasons, {choice.index: choice.finish_reason for choice in whole.choices})
        for choice in whole.choices:
            for field in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
                pieces = [getattr(c.logprobs, field) for k in chunks for c in k.choices if c.index == choice.index and c.logprobs]
                self.assertEqual(sum(pieces, []), getattr(choice.logprobs, field))
        usage = [chunk.usage for chunk in chunks if chunk.usage]
        self.assertEqual(len(usage), 1)
        self.assertEqual(usage[0].completion_tokens, whole.usage.completion_tokens)
        self.assertIsNotNone(usage[0].prompt_tokens_details)

    def test_a_chat_streams_too(self):
        request = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 10, "seed": 2,
                   "logprobs": True, "top_logprobs": 1}
        whole = self.client.chat.completions.create(**request)

        chunks = list(self.client.chat.completions.create(**request, stream=True))

        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        texts, reasons = joined(chunks)
        self.assertEqual(texts[0], whole.choices[0].message.content)
        self.assertEqual(reasons[0], whole.choices[0].finish_reason)
        logprobs = [entry.logprob for chunk in chunks for entry in chunk.choices[0].logprobs.content]
        self.assertEqual(logprobs, [entry.logprob for entry in whole.choices[0].logprobs.content])

    def test_many_asynchronous_clients_get_what_one_gets(self):
        alone = [self.client.completions.create(prompt=f"number {i}", **GREEDY).choices[0].text for i in range(24)]

        async def run():
            async with openai.AsyncOpenAI(base_url=self.server.base_url, api_key=self.server.key) as client:
                async def one(i):
                    stream = await client.completions.create(prompt=f"number {i}", stream=True, **GREEDY)
                    return "".join([chunk.choices[0].text async for chunk in stream])
                return await asyncio.gather(*(one(i) for i in range(24)))

        self.assertEqual(asyncio.run(run()), alone)

    def test_responses_are_chats_in_other_words(self):
        chat = self.client.chat.completions.create(model="tiny", seed=3, max_tokens=10, messages=[
            {"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}])
        request = {"model": "tiny", "instructions": "be kind", "input": "hello", "max_output_tokens": 10, "extra_body": {"seed": 3}}

        whole = self.client.responses.create(**request)
        events = list(self.client.responses.create(**request, stream=True))

        self.assertEqual(whole.output_text, chat.choices[0].message.content)
        self.assertEqual((whole.status, whole.incomplete_details.reason), ("incomplete", "max_output_tokens"))
        self.assertEqual(whole.usage.output_tokens, 10)
        self.assertEqual("".join(e.delta for e in events if e.type == "response.output_text.delta"), whole.output_text)
        self.assertEqual([e.sequence_number for e in events], list(range(len(events))))
        self.assertEqual(events[0].type, "response.created")
        self.assertEqual(events[-1].type, "response.incomplete")
        self.assertEqual(events[-1].response.output_text, whole.output_text)
        with self.assertRaises(openai.BadRequestError):
            self.client.responses.create(model="tiny", input="x", previous_response_id="resp_1")

    def test_errors_are_the_packages_exceptions(self):
        with self.assertRaises(openai.NotFoundError) as wrong_model:
            self.client.completions.create(model="other", prompt="x")
        with self.assertRaises(openai.BadRequestError) as too_hot:
            self.client.completions.create(model="tiny", prompt="x", temperature=-1)
        with self.assertRaises(openai.BadRequestError) as too_long:
            self.client.completions.create(model="tiny", prompt="x", max_tokens=10**6)
        with self.assertRaises(openai.BadRequestError):
            self.client.embeddings.create(model="tiny", input="x")
        with self.assertRaises(openai.AuthenticationError):
            openai.OpenAI(base_url=self.server.base_url, api_key="wrong").models.list()

        self.assertEqual((wrong_model.exception.code, wrong_model.exception.param), ("model_not_found", "model"))
        self.assertEqual(too_hot.exception.param, "temperature")
        self.assertEqual(too_long.exception.code, "context_length_exceeded")

    def test_tokenize_and_detokenize_are_inverse(self):
        words = "ab cd é"
        tokens = self.server.json("POST", "/tokenize", {"prompt": words, "add_special_tokens": False, "return_token_strs": True})

        self.assertEqual(tokens["count"], len(tokens["tokens"]))
        self.assertEqual(len(tokens["token_strs"]), tokens["count"])
        self.assertEqual(self.server.json("POST", "/detokenize", {"tokens": tokens["tokens"]}), {"prompt": words})
        chat = self.server.json("POST", "/tokenize", {"messages": [{"role": "user", "content": "hi"}]})
        self.assertGreater(chat["count"], 0)

    def test_the_tokenizer_tells_its_special_tokens(self):
        info = self.server.json("GET", "/tokenizer_info")

        self.assertEqual((info["vocab_size"], info["model_max_length"]), (512, self.client.models.retrieve("tiny").max_model_len))
        self.assertIn({"id": 0, "content": "<|endoftext|>"}, info["special_tokens"])

    def test_the_dashboard_needs_the_key_and_loads_nothing_from_elsewhere(self):
        self.assertEqual(self.server.request("GET", "/", key="")[0], 401)
        self.assertEqual(self.server.request("GET", "/?key=wrong", key="")[0], 401)
        status, headers, page = self.server.request("GET", f"/?key={self.server.key}", key="")

        self.assertEqual((status, headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
        self.assertEqual(re.findall(rb"(?:src|href)=\"(?!data:)|https?://|@import|url\(", page), [])
        for name in set(re.findall(rb"\"(vllm:[a-z_]+|windlass:[a-z_]+)\"", page)) - {b"windlass:user_", b"windlass:instance_"}:
            self.assertIn(name.decode(), self.server.request("GET", "/metrics")[2].decode())

    def test_the_described_routes_are_the_ones_that_answer(self):
        document = self.server.json("GET", "/openapi.json")

        for path, operations in document["paths"].items():
            if "{file_id}" in path or "{batch_id}" in path:
                continue  # what is not there is not found
            for method in ("get", "post"):
                status = self.server.request(method.upper(), path.replace("{model}", "tiny"), b"{}" if method == "post" else None)[0]
                self.assertEqual(status == 405, method not in operations, (method, path))
                self.assertNotEqual(status, 404, path)
        names = document["components"]["schemas"]
        used = re.findall(r'#/components/schemas/(\w+)', json.dumps(document))
        self.assertEqual(set(used), set(names))

    def test_metrics_count_what_was_answered(self):
        before = self.server.metrics()
        self.client.completions.create(prompt=[5, 6, 7], **GREEDY)
        after = self.server.metrics()

        self.assertEqual(after["vllm:generation_tokens_total"] - before["vllm:generation_tokens_total"], 8)
        self.assertEqual(after["vllm:e2e_request_latency_seconds_count"] - before["vllm:e2e_request_latency_seconds_count"], 1)
        self.assertEqual(after["vllm:num_requests_running"], 0)

    def test_curl_streams_over_tcp(self):
        body = json.dumps({"prompt": "x", "stream": True, **GREEDY})
        out = subprocess.run(["curl", "-sSN", "--fail", "-H", f"Authorization: Bearer {self.server.key}", "-d", body,
                              self.server.base_url + "/completions"], check=True, capture_output=True, text=True).stdout
        events = [line[6:] for line in out.splitlines() if line]

        self.assertEqual(events[-1], "[DONE]")
        self.assertTrue(all(json.loads(event)["object"] == "text_completion" for event in events[:-1]))


class Lifecycle(unittest.TestCase):
    def test_a_unix_socket_is_its_owners_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "s")
            with harness.Server("--socket", path) as server:
                mode = stat.S_IMODE(os.stat(path).st_mode)
                answer = subprocess.run(["curl", "-sS", "--fail", "--unix-socket", path, "-H", f"Authorization: Bearer {server.key}",
                                         "http://localhost/v1/models"], check=True, capture_output=True).stdout
                self.assertEqual(server.stop(), 0)
            self.assertEqual(mode, 0o600)
            self.assertEqual(json.loads(answer)["data"][0]["id"], "tiny")
            self.assertFalse(os.path.exists(path))

    def test_the_endpoint_file_is_private_and_goes_with_the_server(self):
        with harness.Server() as server:
            mode = stat.S_IMODE(server.endpoint_file.stat().st_mode)
            self.assertEqual(server.stop(), 0)
            self.assertFalse(server.endpoint_file.exists())
            self.assertIn(f"export OPENAI_BASE_URL={server.base_url} OPENAI_API_KEY={server.key}", server.output())
        self.assertEqual(mode, 0o600)

    def long_stream(self, server, choices, tokens):
        client = openai.OpenAI(base_url=server.base_url, api_key=server.key, max_retries=0)
        stream = client.completions.create(model="tiny", prompt="x", max_tokens=tokens, n=choices, stream=True,
                                           extra_body={"ignore_eos": True})
        next(stream)
        return stream

    def test_a_drain_finishes_what_runs_and_takes_nothing_new(self):
        with harness.Server("--drain-seconds", "20") as server:
            stream = self.long_stream(server, 16, 300)
            server.process.send_signal(signal.SIGUSR1)
            harness.wait_until(lambda: server.request("GET", "/health")[0] == 503, 5, "the drain")
            status, headers, _ = server.request("POST", "/v1/completions", {"prompt": "x"})
            reasons = joined(stream)[1]
            code = server.process.wait(30)

        self.assertEqual(status, 503)
        self.assertIn("Retry-After", headers)
        self.assertEqual(list(reasons.values()), ["length"] * 16)
        self.assertEqual(code, 0)

    def test_a_drain_whose_time_is_over_ends_streams_with_an_error(self):
        with harness.Server("--drain-seconds", "0") as server:
            stream = self.long_stream(server, 32, 1000)
            server.process.send_signal(signal.SIGUSR1)
            with self.assertRaises(openai.APIError):
                joined(stream)
            code = server.process.wait(30)

        self.assertEqual(code, 75)


class Users(unittest.TestCase):
    def entry(self, name, **limits):
        return {"name": name, "key_sha256": hashlib.sha256(f"key of {name}".encode()).hexdigest(), **limits}

    def test_users_have_keys_and_limits_of_their_own_and_the_file_is_read_again(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "keys.json"
            path.write_text(json.dumps({"users": [self.entry("ann", requests_per_minute=2), self.entry("bob")]}))
            with harness.Server("--api-key-file", str(path), key="key of bob") as server:
                def ask(name):
                    return server.request("POST", "/v1/completions", {"prompt": "x", "max_tokens": 1}, f"key of {name}")
                anns = [ask("ann") for _ in range(3)]
                bobs = [ask("bob")[0] for _ in range(5)]
                self.assertEqual(ask("cid")[0], 401)
                path.write_text(json.dumps({"users": [self.entry("cid")]}))
                server.process.send_signal(signal.SIGHUP)
                harness.wait_until(lambda: ask("cid")[0] == 200, 5, "the new key")
                bob_now = ask("bob")[0]
                server.key = "key of cid"
                metrics = server.request("GET", "/metrics")[2].decode()

        self.assertEqual([answer[0] for answer in anns], [200, 200, 429])
        self.assertEqual(json.loads(anns[2][2])["error"]["code"], "rate_limit_exceeded")
        self.assertLessEqual(int(anns[2][1]["Retry-After"]), 30)
        self.assertEqual((bobs, bob_now), ([200] * 5, 401))
        self.assertIn('windlass:user_requests_total{user="ann"} 2\n', metrics)
        self.assertIn('windlass:user_generated_tokens_total{user="bob"} 5\n', metrics)


class DemoModel(unittest.TestCase):
    def test_a_real_chat_template_and_model_answer(self):
        model, options = os.environ["WINDLASS_DEMO_MODEL"], ("--max-model-len", "512")
        request = {"messages": [{"role": "user", "content": "What is the capital of France?"}], "max_tokens": 12, "temperature": 0}
        with tempfile.TemporaryDirectory() as folder:
            expected = harness.batch(folder, [request], *options, url="/v1/chat/completions", model=model)[0]

        with harness.Server(*options, model=model) as server:
            client = openai.OpenAI(base_url=server.base_url, api_key=server.key)
            answer = client.chat.completions.create(model=server.model, **request)

        self.assertEqual(answer.choices[0].message.content, expected["choices"][0]["message"]["content"])
        self.assertGreater(len(answer.choices[0].message.content), 10)


if __name__ == "__main__":
    harness.main()
