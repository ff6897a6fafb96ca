"""Malformed, cut, oversized and hostile requests (WINDLASS_HOSTILE_REQUESTS, 300): right status codes, no crash, no hang, and
the neighbours' answers unchanged."""
import json
import os
import pathlib
import random
import socket
import threading
import unittest

import harness

COUNT = int(os.environ.get("WINDLASS_HOSTILE_REQUESTS", "300"))
NEIGHBOUR = {"prompt": [5, 6, 7], "max_tokens": 100, "ignore_eos": True, "temperature": 0}
STATUSES = {200, 400, 401, 404, 405, 408, 413, 429, 431, 501, 503, 504}

FIELDS = ("prompt", "max_tokens", "temperature", "top_p", "top_k", "n", "stop", "logprobs", "seed", "logit_bias", "stream", "stream_options", "echo",
          "min_tokens", "stop_token_ids", "allowed_token_ids", "response_format", "structured_outputs", "priority", "deadline_ms", "cache_salt",
          "truncate_prompt_tokens", "prompt_logprobs", "messages", "tools", "tool_choice", "chat_template_kwargs", "model", "user")
VALUES = ("null", "true", "-1", "0", "1e999", "-1e999", "NaN", "1e-400", "123456789012345678901234567890", "2147483648", "-9223372036854775809", '""',
          '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', "[]", "[[]]", "[[[]]]", "{}", '{"":{}}', "[null]", "[1,\"a\",{}]", "[4294967295]", "[-1]", '"' + "a" * 3000 + '"',
          "[" + "0," * 2000 + "0]", '{"type":"json_schema","json_schema":{"schema":{"$ref":"#"}}}', '{"regex":"(((a{1000}){1000}){1000})"}',
          '{"regex":"(a|a)*(a|a)*(a|a)*b"}', '{"json":{"type":"object","properties":{"a":{"pattern":"("}}}}', '{"choice":[]}', '{"0":1e308,"1":-1e308}',
          '[{"role":"user","content":[{"type":"text","text":"x"},{"type":"image_url"}]}]', '[{"role":{},"content":null}]')
RAW = (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0" * 300, b"\r\n" * 200, b"GET\r\n\r\n",
       b"GET  / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\nHost: x\n\n", b"POST / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n",
       b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", b"POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc",
       b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
       b"GET http://elsewhere/ HTTP/1.1\r\nHost: x\r\n\r\n", b"CONNECT elsewhere:80 HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nName : x\r\n\r\n",
       b"GET / HTTP/1.1\r\nA: b\r\n c: folded\r\n\r\n", b"OPTIONS * HTTP/1.1\r\n\r\n", b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n")


class Maker:
    """Hostile requests, one after the other, from a seed: (bytes, whether the server can tell their end)."""

    def __init__(self, key, seed):
        self.dice, self.key = random.Random(seed), key
        self.kinds = (self.damaged, self.cut, self.raw, self.strange_json, self.deep_json, self.bad_text, self.oversized, self.bad_chunks, self.strange_route,
                      self.bad_form, self.many)

    def next(self):
        return self.dice.choice(self.kinds)()

    def post(self, path, body, *lines):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = [f"POST {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {self.key}", f"Content-Length: {len(body)}", "Connection: close", *lines, "", ""]
        return "\r\n".join(head).encode() + body

    def good(self):
        return self.dice.choice((
            self.post("/v1/completions", {"prompt": "some words", "max_tokens": 2, "stop": ["x"]}),
            self.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 2, "stream": True}),
            self.post("/v1/responses", {"input": "x", "max_output_tokens": 2}), self.post("/tokenize", {"prompt": "x"}),
            self.post("/v1/files", b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n--b--', "Content-Type: multipart/form-data; boundary=b"),
            self.post("/v1/batches", {"input_file_id": "file-1", "endpoint": "/v1/completions", "completion_window": "24h"})))

    def damaged(self):
        data = bytearray(self.good())
        for _ in range(self.dice.randrange(1, 6)):
            data[self.dice.randrange(len(data))] = self.dice.randrange(256)
        return bytes(data), False

    def cut(self):
        data = self.good()
        return data[:self.dice.randrange(len(data))], False

    def raw(self):
        return self.dice.choice((*RAW, self.dice.randbytes(self.dice.randrange(1, 2000)))), False

    def strange_json(self):
        path, start = self.dice.choice((("/v1/completions", '"prompt": "x"'), ("/v1/chat/completions", '"messages": [{"role": "user", "content": "x"}]'),
                                        ("/v1/responses", '"input": "x"'), ("/tokenize", '"prompt": "x"'), ("/v1/batches", '"endpoint": "/v1/completions"')))
        fields = [f'"{self.dice.choice(FIELDS)}": {self.dice.choice(VALUES)}' for _ in range(self.dice.randrange(1, 4))]
        return self.post(path, ("{" + ", ".join([start, '"max_tokens": 2', *fields]) + "}").encode()), True

    def deep_json(self):
        depth = self.dice.choice((65, 1000, 50000))
        inner = self.dice.choice((b"[" * depth, b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth))
        return self.post("/v1/completions", b'{"prompt": "x", "max_tokens": 1, "metadata": ' + inner + b"}"), True

    def bad_text(self):
        words = self.dice.choice((b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\0", b"\x1b[2J", b'"', b"\\", b"\\u12"))
        return self.post("/v1/completions", b'{"max_tokens": 1, "prompt": "' + words + b'"}'), True

    def oversized(self):
        kind = self.dice.randrange(4)
        if kind == 0:
            return self.post("/v1/completions", b"{}", "X: " + "a" * self.dice.randrange(16000, 40000)), True
        if kind == 1:
            return self.post("/v1/completions", b"{}", *(f"X{i}: y" for i in range(3000))), True
        if kind == 2:
            return self.post("/v1/completions", b"{}").replace(b"Content-Length: 2", b"Content-Length: 99999999999"), True
        return self.post("/v1/completions", b'{"prompt": "' + b"a " * 300_000 + b'", "max_tokens": 1}'), True

    def bad_chunks(self):
        chunks = self.dice.choice((b"ffffffffffffffff\r\nx", b"-1\r\n", b"zz\r\n", b"5\r\nabc\r\n0\r\n\r\n", b"1\r\nab\r\n", b"200001\r\n" + b"a" * 1000,
                                   b"0\r\n" + b"T: x\r\n" * 3000 + b"\r\n", b"1;" + b"e" * 20000 + b"\r\nx\r\n0\r\n\r\n"))
        return self.post("/v1/completions", b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + chunks, False

    def strange_route(self):
        method = self.dice.choice(("GET", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "HEAD", "BREW", "POST"))
        path = self.dice.choice(("/", "/..", "/v1/../../etc/passwd", "/v1/files/../lock", "/v1/files/%2e%2e/lock/content", "/v1/files/" + "f" * 5000, "/%00", "/\xff",
                                 "//", "/v1/models/%ff", "/v1/models/\xc3", "/?key=", "/?key=" + "a" * 3000, "/v1/batches/x/cancel/y", "/metrics/", "/v1/files?limit=1e9",
                                 "/v1/files?after=&&&=&limit=", "*"))
        key = self.dice.choice((self.key, "", "x", self.key * 50, "\xff"))
        return f"{method} {path} HTTP/1.1\r\nAuthorization: Bearer {key}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode("latin-1"), True

    def bad_form(self):
        kind = self.dice.choice(("multipart/form-data; boundary=b", "multipart/form-data", 'multipart/form-data; boundary="', "multipart/form-data; boundary=" + "b" * 100, "text/x"))
        part = 'Content-Disposition: form-data; name="file"; filename="' + self.dice.choice(("../../x", "\xff", "a" * 300, "\\", '"')) + '"'
        body = self.dice.choice((f"--b\r\n{part}\r\n\r\nx\r\n--b--", "--b\r\n" * 1000, "--b--", "--b", "", f"--b\r\n{part}\r\n\r\n", "--b\r\n\r\n\r\n\r\n--b--"))
        return self.post("/v1/files", body.encode("latin-1"), f"Content-Type: {kind}"), True

    def many(self):
        one = self.good().replace(b"Connection: close\r\n", b"")
        return one * self.dice.randrange(2, 40), False


class Hostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server("--max-body-mib", "1", "--max-files-mib", "1")
        cls.addClassCleanup(cls.server.__exit__)

    def exchange(self, data, complete):
        """All that comes back; of a request without an end the sending side is closed."""
        answer = b""
        with self.server.connect() as connection:
            try:
                connection.sendall(data)
                if not complete:
                    connection.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass
            try:
                while piece := connection.recv(65536):
                    answer += piece
            except ConnectionResetError:
                pass
        return answer

    def check(self, data, answer, complete):
        if not answer:
            return self.assertFalse(complete and len(data) < 60_000, data[:300])  # a reset may overtake the answer to a long one
        self.assertTrue(answer.startswith(b"HTTP/1.1 "), (data[:300], answer[:100]))
        status = int(answer.split(b" ", 2)[1])
        if status == 100:
            return None
        self.assertIn(status, STATUSES, (data[:300], answer[:300]))
        head, _, body = answer.partition(b"\r\n\r\n")
        if status >= 400 and complete and b"json" in head and body and not data.startswith(b"HEAD"):
            self.assertIsInstance(json.loads(body)["error"]["message"], str)

    def resident_kib(self):
        status = pathlib.Path(f"/proc/{self.server.process.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))

    def test_hostile_requests_leave_neighbours_alone(self):
        def ask():
            return self.server.json("POST", "/v1/completions", NEIGHBOUR)["choices"][0]

        alone, neighbours, over = ask(), [], threading.Event()
        neighbour = threading.Thread(target=lambda: [neighbours.append(ask()) for _ in iter(over.is_set, True)])
        neighbour.start()
        maker = Maker(self.server.key, 1)
        try:
            for i in range(COUNT):
                data, complete = maker.next()
                self.check(data, self.exchange(data, complete), complete)
                if i == COUNT // 2:
                    before_kib = self.resident_kib()
        finally:
            over.set()
            neighbour.join()

        self.assertGreater(len(neighbours), 0)
        self.assertEqual([now for now in neighbours if now != alone], [])
        self.assertIsNone(self.server.process.poll())
        self.assertLess(self.resident_kib(), before_kib * 1.3 + 20_000)
        harness.wait_until(lambda: self.server.metrics()["vllm:num_requests_running"] == 0, 5, "the end of all requests")
        self.assertEqual(self.server.stop(), 0)


if __name__ == "__main__":
    harness.main()
