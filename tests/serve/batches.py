"""/v1/files and /v1/batches with the openai package: upload, run, download, cancel, restart."""
import hashlib
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

import harness

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from step_gate import StepGate, let_go_on  # noqa: E402

try:
    import openai
except ImportError:
    harness.skip_all("needs the Python package openai; tests/run.sh installs it")


def requests(count, url="/v1/completions", **fields):
    body = {"model": "tiny", "prompt": "x", "max_tokens": 6, **fields}
    return [{"custom_id": f"r{i}", "method": "POST", "url": url, "body": {**body, "prompt": f"number {i}"}} for i in range(count)]


def as_lines(objects):
    return "".join(json.dumps(each) + "\n" for each in objects).encode()


class Batches(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        keys = {"users": [{"name": name, "key_sha256": hashlib.sha256(f"key of {name}".encode()).hexdigest()} for name in ("ann", "bob")]}
        path = pathlib.Path(folder.name) / "keys.json"
        path.write_text(json.dumps(keys))
        cls.server = harness.Server("--api-key-file", str(path), "--max-files-mib", "1", "--max-body-mib", "2", key="key of ann")
        cls.addClassCleanup(cls.server.__exit__)
        cls.ann, cls.bob = (openai.OpenAI(base_url=cls.server.base_url, api_key=f"key of {name}", max_retries=0) for name in ("ann", "bob"))

    def upload(self, content, client=None):
        return (client or self.ann).files.create(file=("in.jsonl", content), purpose="batch")

    def start(self, content, endpoint="/v1/completions", **fields):
        return self.ann.batches.create(input_file_id=self.upload(content).id, endpoint=endpoint, completion_window="24h", **fields)

    def wait(self, batch, statuses=("completed", "failed", "cancelled", "expired"), seconds=30):
        harness.wait_until(lambda: self.ann.batches.retrieve(batch.id).status in statuses, seconds, f"the batch's {statuses}")
        return self.ann.batches.retrieve(batch.id)

    def records(self, file_id):
        return {record["custom_id"]: record for record in map(json.loads, self.ann.files.content(file_id).text.splitlines())}

    def tearDown(self):
        for client in (self.ann, self.bob):
            for file in client.files.list():
                client.files.delete(file.id)

    def test_files_are_kept_listed_and_deleted(self):
        first, second = self.upload(b"one\n"), self.upload(b"two\n")

        self.assertEqual((first.bytes, first.filename, first.purpose, first.status), (4, "in.jsonl", "batch", "processed"))
        self.assertEqual({file.id for file in self.ann.files.list()}, {first.id, second.id})
        page = self.ann.files.list(limit=1, order="asc")
        self.assertEqual((len(page.data), page.has_more), (1, True))
        self.assertEqual(len(list(page)), 2)  # the package asks for the pages that follow
        self.assertEqual(self.ann.files.retrieve(first.id), first)
        self.assertEqual(self.ann.files.content(second.id).read(), b"two\n")
        self.assertTrue(self.ann.files.delete(first.id).deleted)
        with self.assertRaises(openai.NotFoundError):
            self.ann.files.retrieve(first.id)

    def test_nobody_sees_what_another_user_has(self):
        file, batch = self.upload(b"one\n"), self.wait(self.start(as_lines(requests(1))))

        self.assertEqual((list(self.bob.files.list()), list(self.bob.batches.list())), ([], []))
        for ask in (lambda: self.bob.files.retrieve(file.id), lambda: self.bob.files.content(batch.output_file_id), lambda: self.bob.files.delete(file.id),
                    lambda: self.bob.batches.retrieve(batch.id), lambda: self.bob.batches.cancel(batch.id)):
            with self.assertRaises(openai.NotFoundError):
                ask()
        with self.assertRaises(openai.BadRequestError):
            self.bob.batches.create(input_file_id=file.id, endpoint="/v1/completions", completion_window="24h")

    def test_a_batch_answers_as_windlass_batch_does(self):
        lines = requests(20, temperature=0)
        bad = {"custom_id": "bad", "method": "POST", "url": "/v1/completions", "body": {"prompt": "x", "temperature": -1}}
        with tempfile.TemporaryDirectory() as folder:
            expected = harness.batch(folder, [line["body"] for line in lines], "--served-model-name", "tiny")
        before = self.server.request("GET", "/metrics", key="key of bob")[2].decode()

        batch = self.wait(self.start(as_lines(lines + [bad]) + b"no json\n", metadata={"purpose": "test"}))

        self.assertEqual((batch.status, batch.metadata), ("completed", {"purpose": "test"}))
        counts = batch.request_counts
        self.assertEqual((counts.total, counts.completed, counts.failed), (22, 20, 2))
        answers, errors = self.records(batch.output_file_id), self.records(batch.error_file_id)
        self.assertEqual([answers[f"r{i}"]["response"]["body"]["choices"] for i in range(20)], [body["choices"] for body in expected])
        self.assertEqual(errors["bad"]["response"]["body"]["error"]["param"], "temperature")
        self.assertEqual(set(errors), {"bad", "line-22"})
        self.assertGreaterEqual(batch.completed_at, batch.in_progress_at)
        self.assertIn(batch.id, [each.id for each in self.ann.batches.list(limit=5)])
        after = self.server.request("GET", "/metrics", key="key of bob")[2].decode()

        def anns(text):
            return next((int(line.split()[-1]) for line in text.splitlines() if line.startswith('windlass:user_generated_tokens_total{user="ann"}')), 0)
        self.assertEqual(anns(after) - anns(before), sum(body["usage"]["completion_tokens"] for body in expected))

    def test_chats_too(self):
        chat = {"custom_id": "c", "method": "POST", "url": "/v1/chat/completions",
                "body": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5, "temperature": 0}}
        batch = self.wait(self.start(as_lines([chat]), endpoint="/v1/chat/completions"))
        answer = self.ann.chat.completions.create(model="tiny", messages=chat["body"]["messages"], max_tokens=5, temperature=0)

        body = self.records(batch.output_file_id)["c"]["response"]["body"]
        self.assertEqual(body["choices"][0]["message"]["content"], answer.choices[0].message.content)
        self.assertIsNone(batch.error_file_id)

    def test_what_is_no_batch_fails_as_a_whole(self):
        other = self.wait(self.start(as_lines(requests(2)), endpoint="/v1/chat/completions"))
        empty = self.wait(self.start(b"\n\n"))

        self.assertEqual((other.status, other.errors.data[0].code, other.errors.data[0].line), ("failed", "mismatched_endpoint", 1))
        self.assertEqual((empty.status, empty.errors.data[0].code), ("failed", "batch_failed"))

    def test_a_cancelled_batch_gives_what_it_has_and_frees_the_engine(self):
        batch = self.start(as_lines(requests(3) + requests(200, max_tokens=900, ignore_eos=True)[3:]))
        harness.wait_until(lambda: self.ann.batches.retrieve(batch.id).request_counts.completed >= 3, 30, "the first answers")

        # Clients come first, also while a batch fills the engine.
        self.assertEqual(self.ann.completions.create(model="tiny", prompt="x", max_tokens=3).usage.completion_tokens, 3)
        self.assertEqual(self.ann.batches.cancel(batch.id).status, "cancelling")
        ended = self.wait(batch)

        self.assertEqual(ended.status, "cancelled")
        self.assertLessEqual({"r0", "r1", "r2"}, set(self.records(ended.output_file_id)))
        self.server.key = "key of ann"
        harness.wait_until(lambda: self.server.metrics()["vllm:num_requests_running"] == 0, 5, "the end of its requests")
        with self.assertRaises(openai.BadRequestError):
            self.ann.batches.cancel(batch.id)

    def test_limits_and_mistakes_are_told(self):
        with self.assertRaises(openai.BadRequestError) as wrong:
            self.ann.files.create(file=("x", b"x"), purpose="fine-tune")
        self.assertEqual(wrong.exception.param, "purpose")
        with self.assertRaises(openai.APIStatusError) as long:
            self.upload(b"x" * (2 << 20))
        self.assertEqual(long.exception.status_code, 413)
        with self.assertRaises(openai.BadRequestError) as full:
            self.upload(b"x" * (1 << 20) + b"x")
        self.assertEqual(full.exception.code, "storage_full")
        file = self.upload(b"x")
        for fields in ({"endpoint": "/v1/embeddings"}, {"completion_window": "1h"}, {"input_file_id": "file-x"}, {"metadata": {"a": "b" * 600}}):
            with self.assertRaises(openai.BadRequestError) as mistake:
                self.ann.batches.create(**{"input_file_id": file.id, "endpoint": "/v1/completions", "completion_window": "24h", **fields})
            self.assertEqual(mistake.exception.param, next(iter(fields)))
        for method, path in (("POST", "/v1/files/x/content"), ("GET", "/v1/batches/x/cancel"), ("GET", "/v1/files/../lock"), ("DELETE", "/v1/batches/x"),
                             ("GET", "/v1/files/x/nonsense"), ("GET", "/v1/files?limit=0")):
            self.assertIn(self.server.request(method, path, b"" if method == "POST" else None)[0], (400, 404, 405), path)
        status, _, _ = self.server.request("POST", "/v1/files", b"no form")
        self.assertEqual(status, 400)
        self.assertEqual(self.server.request("GET", "/v1/files", key="")[0], 401)


class Restart(unittest.TestCase):
    def test_a_batch_goes_on_with_the_next_server(self):
        lines = requests(120, max_tokens=60, ignore_eos=True, temperature=0)
        with tempfile.TemporaryDirectory() as folder:
            files = str(pathlib.Path(folder) / "files")
            expected = harness.batch(folder, [line["body"] for line in lines], "--served-model-name", "tiny")
            codes, counts, status, turn, left = {}, [], "", 0, []
            batch_id = None
            while status != "completed" and turn < 20:
                gate = StepGate(str(pathlib.Path(folder) / f"steps{turn}"))  # so that no machine is too fast
                self.addCleanup(gate.close)
                with harness.Server("--files-folder", files, "--max-num-seqs", "4", "--record", gate.path) as server:
                    client = openai.OpenAI(base_url=server.base_url, api_key=server.key)
                    if batch_id is None:
                        file = client.files.create(file=("in.jsonl", as_lines(lines)), purpose="batch")
                        batch_id = client.batches.create(input_file_id=file.id, endpoint="/v1/completions", completion_window="24h").id
                    before = client.batches.retrieve(batch_id)
                    start = before.request_counts.completed
                    if before.status != "completed":
                        left.append(codes.get(turn, 75))

                    def further():
                        batch = client.batches.retrieve(batch_id)
                        return batch.status == "completed" or (turn < 3 and batch.request_counts.completed >= start + 10)
                    self.assertTrue(let_go_on([gate], further), server.output())
                    batch = client.batches.retrieve(batch_id)
                    status, turn = batch.status, turn + 1
                    counts.append(batch.request_counts.completed)
                    if status == "completed":
                        answers = client.files.content(batch.output_file_id).text
                        gate.open()
                        codes[turn] = server.stop()
                    elif turn % 2:
                        server.process.kill()  # nothing was to be saved first
                        server.process.wait(30)
                    else:
                        server.process.send_signal(signal.SIGUSR1)
                        gate.open()
                        codes[turn] = server.process.wait(30)

        bodies = {record["custom_id"]: record["response"]["body"]["choices"] for record in map(json.loads, answers.splitlines())}
        self.assertEqual([bodies[f"r{i}"] for i in range(120)], [body["choices"] for body in expected])
        self.assertGreater(turn, 2)
        self.assertEqual(counts, sorted(counts))
        self.assertEqual(set(left), {75})  # of servers that left work
        self.assertEqual(codes[turn], 0)

    def test_a_folder_has_one_server(self):
        with tempfile.TemporaryDirectory() as folder, harness.Server("--files-folder", folder):
            run = subprocess.run([harness.PROGRAM, "serve", "--model", harness.TINY, "--files-folder", folder, "--threads", "1"], cwd=folder,
                                 capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, 2)
        self.assertIn("--files-folder", run.stderr)


if __name__ == "__main__":
    harness.main()
