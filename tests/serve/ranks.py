"""A server of several ranks: the same answers and streams as of one, also where a rank dies in the middle."""
import concurrent.futures
import os
import signal
import unittest

import harness

try:
    import openai
except ImportError:
    harness.skip_all("needs the Python package openai; tests/run.sh installs it")
if "WINDLASS_MPIRUN" not in os.environ:
    harness.skip_all("needs WINDLASS_MPIRUN; ctest sets it")

OPTIONS = ("--no-prefix-caching", "--lost-after-seconds", "20")


def request(i, tokens):
    return {"model": "tiny", "prompt": [5 + (i * 7 + j) % 200 for j in range(20 + 10 * i)], "max_tokens": tokens, "seed": i, "temperature": 0.8, "n": 1 + i % 2,
            "logprobs": 1, "extra_body": {"ignore_eos": True, "return_token_ids": True}}


class Ranks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with harness.Server(*OPTIONS) as server:
            client = cls.client_of(server)
            cls.short = [cls.whole(client, request(i, 12)) for i in range(6)]
            cls.long = [cls.whole(client, request(i, 300)) for i in range(6)]

    @staticmethod
    def client_of(server):
        return openai.OpenAI(base_url=server.base_url, api_key=server.key, max_retries=0, timeout=120)

    @staticmethod
    def whole(client, body):
        answer = client.completions.create(**body)
        return {choice.index: (choice.text, choice.finish_reason, choice.logprobs.token_logprobs) for choice in answer.choices}

    @staticmethod
    def lines_of(server, metric):
        return [line for line in server.request("GET", "/metrics")[2].decode().splitlines() if line.startswith(metric)]

    def streamed(self, client, body, begun=None):
        texts, reasons, logprobs, pieces = {}, {}, {}, 0
        for chunk in client.completions.create(**body, stream=True):
            for choice in chunk.choices:
                pieces += 1
                texts[choice.index] = texts.get(choice.index, "") + choice.text
                reasons[choice.index] = choice.finish_reason or reasons.get(choice.index)
                logprobs.setdefault(choice.index, []).extend(choice.logprobs.token_logprobs if choice.logprobs else [])
            if begun and sum(map(len, logprobs.values())) > 20:
                begun()
                begun = None
        self.assertGreater(pieces, body["max_tokens"] // 2)  # it came bit by bit
        return {index: (texts[index], reasons[index], logprobs[index]) for index in texts}

    def check_layout(self, layout, ranks):
        with harness.Server(*OPTIONS, "--layout", layout, ranks=ranks) as server:
            client = self.client_of(server)
            with concurrent.futures.ThreadPoolExecutor(12) as pool:
                whole = list(pool.map(lambda i: self.whole(client, request(i, 12)), range(6)))
                streams = list(pool.map(lambda i: self.streamed(client, request(i, 12)), range(6)))
            self.assertEqual((whole, streams), (self.short, self.short))

            handed = sum(float(line.split()[1]) for line in self.lines_of(server, "windlass:kv_handoffs_total"))
            self.assertEqual(handed > 0, "prefill" in layout)

            leaving = [client.completions.create(**request(i, 900), stream=True) for i in range(4)]
            for stream in leaving:
                next(iter(stream))
                stream.close()
            harness.wait_until(lambda: server.metrics()["vllm:num_requests_running"] == 0 and server.metrics()["vllm:kv_cache_usage_perc"] == 0, 10,
                               "the pages of clients that left")
            self.assertEqual(server.stop(signal.SIGUSR1), 0)

    def test_mixed_instances_answer_as_one_rank_does(self):
        self.check_layout("mixed=2", 2)

    def test_streams_go_on_at_the_decode_instance(self):
        self.check_layout("prefill=1,decode=1", 2)

    def check_death(self, layout, ranks, victim):
        with harness.Server(*OPTIONS, "--layout", layout, ranks=ranks) as server:
            client, process = self.client_of(server), server.rank_process(victim)
            with concurrent.futures.ThreadPoolExecutor(6) as pool:
                streams = list(pool.map(lambda i: self.streamed(client, request(i, 300), (lambda: os.kill(process, signal.SIGKILL)) if i == 5 else None), range(6)))
            self.assertEqual(streams, self.long)
            self.assertIn(f"rank {victim} is lost", server.output())
            self.assertEqual(self.whole(client, request(0, 12)), self.short[0])
            harness.wait_until(lambda: server.metrics()["vllm:num_requests_running"] == 0, 10, "the end of what the lost instance ran")
            self.assertEqual([line.split()[1] for line in self.lines_of(server, "windlass:instance_up")].count("0"), 1)
            server.process.send_signal(signal.SIGUSR1)
            server.process.wait(30)

    def test_streams_go_on_elsewhere_when_their_instance_dies(self):
        self.check_death("mixed=2", 2, 1)

    def test_streams_go_on_when_the_decode_instance_dies(self):
        self.check_death("prefill=1,decode=2", 3, 2)

    def test_streams_go_on_when_a_prefill_instance_dies(self):
        self.check_death("prefill=2,decode=1", 3, 1)

    def test_mistakes_end_all_ranks(self):
        with self.assertRaises(AssertionError) as mistake:
            harness.Server("--host", "nowhere", ranks=2)
        self.assertIn("--host", str(mistake.exception))


if __name__ == "__main__":
    harness.main()
