"""What no well-behaved client sends: malformed, cut, oversized and abandoned requests; and who may ask at all."""
import json
import select
import socket
import time
import unittest

import harness

LONG = {"prompt": [5, 6, 7], "max_tokens": 1000, "ignore_eos": True, "temperature": 0, "stream": True}


def receive_all(connection):
    data = b""
    while True:
        try:
            piece = connection.recv(65536)
        except ConnectionResetError:
            return data
        if not piece:
            return data
        data += piece


class Protocol(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server("--max-body-mib", "1")
        cls.addClassCleanup(cls.server.__exit__)

    def exchange(self, data, leave=False):
        """Sends bytes, and with `leave` their end; returns all that comes until the server closes."""
        with self.server.connect() as connection:
            try:
                connection.sendall(data)
                if leave:
                    connection.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass
            return receive_all(connection)

    def status(self, data):
        answer = self.exchange(data)
        self.assertTrue(answer.startswith(b"HTTP/1.1 "), answer[:80])
        return int(answer.split(b" ", 2)[1])

    def head(self, *lines, path="/v1/completions", method="POST"):
        key = f"Authorization: Bearer {self.server.key}"
        return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", key, *lines, "", ""]).encode()

    def test_what_is_not_http_gets_400(self):
        for data in (b"hello\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40), b"GET / HTTP/9.9\r\n\r\n",
                     self.head("Content-Length: x"), self.head("Content-Length: -1"), self.head("Bad Header Name: x"),
                     self.head("Content-Length: 5", "Transfer-Encoding: chunked"), self.head("Transfer-Encoding: chunked") + b"zz\r\n"):
            self.assertEqual(self.status(data), 400, data[:60])

    def test_limits_have_their_status(self):
        self.assertEqual(self.status(self.head("X: " + "a" * 20000)), 431)
        self.assertEqual(self.status(self.head(f"Content-Length: {2 << 20}")), 413)
        self.assertEqual(self.status(self.head("Transfer-Encoding: chunked") + b"200000\r\n" + b"a" * (2 << 20)), 413)
        self.assertEqual(self.status(self.head("Transfer-Encoding: gzip")), 501)

    def test_bodies_that_are_wrong_get_400_and_name_the_field(self):
        wrong = {b"": "", b"{": "", b"[]": "", b'{"prompt": "\xff"}': "", b'{"prompt": "x", "prompt": "y"}': "",
                 b"[" * 100000: "", b'{"prompt": "x", "temperature": "hot"}': "temperature", b'{"prompt": 5}': "prompt",
                 b'{"prompt": [999999]}': "prompt", b'{"prompt": "x", "suffix": "y"}': "suffix", b'{"prompt": []}': "prompt",
                 b'{"prompt": "x", "stream": 1}': "stream", b'{"prompt": "x", "stream_options": {}}': "stream_options",
                 b'{"prompt": "x", "n": 1000}': "n", b'{"prompt": "x", "logprobs": 100}': "logprobs"}
        for body, field in wrong.items():
            status, _, answer = self.server.request("POST", "/v1/completions", body)
            error = json.loads(answer)["error"]
            self.assertEqual((status, error["param"] or ""), (400, field), body[:60])
            self.assertEqual(error["type"], "invalid_request_error")

    def test_fields_that_do_not_matter_must_be_proper_too(self):
        chat = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
        for path, body, field in (("/v1/chat/completions", {**chat, "tools": [1]}, "tools"), ("/v1/chat/completions", {**chat, "tools": [1], "tool_choice": "none"}, "tools"),
                                  ("/v1/completions", {"prompt": "x", "response_format": {"type": "text", "json_schema": 5}}, "json_schema"),
                                  ("/tokenize", {**chat, "prompt": 5}, "prompt")):
            status, _, answer = self.server.request("POST", path, body)
            self.assertEqual((status, json.loads(answer)["error"]["param"]), (400, field), body)
        for query, field in (("order=up", "order"), ("order=asc&order=desc", "order"), ("limit=", "limit"), ("limit=-1", "limit")):
            status, _, answer = self.server.request("GET", "/v1/files?" + query)
            self.assertEqual((status, json.loads(answer)["error"]["param"]), (400, field), query)

    def test_no_route_answers_without_a_key(self):
        described = [(method.upper(), path) for path, operations in self.server.json("GET", "/openapi.json")["paths"].items()
                     for method in operations if path not in ("/health", "/ping")]
        for method, path in (*described, ("GET", "/nothing"), ("POST", "/v1/embeddings")):
            for key in ("", "wl-", self.server.key[:-1], self.server.key + "0"):
                self.assertEqual(self.server.request(method, path, b"{}", key)[0], 401, path)
        self.assertEqual(self.server.request("GET", "/health", key="")[0], 200)

    def test_routes_and_methods_that_are_not_there(self):
        self.assertEqual(self.server.request("GET", "/v1/nothing")[0], 404)
        self.assertEqual(self.server.request("GET", "/v1/models/other")[0], 404)
        answer = self.exchange(self.head("Connection: close", path="/v1/models/@", method="GET").replace(b"@", b"\xc3"))
        self.assertIn("is not served here", json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"])
        status, headers, _ = self.server.request("GET", "/v1/completions")
        self.assertEqual((status, headers["Allow"]), (405, "POST"))
        for method, path, takes in (("DELETE", "/v1/files/x/content", "GET, HEAD"), ("GET", "/v1/batches/x/cancel", "POST"), ("POST", "/v1/batches/x", "GET, HEAD")):
            status, headers, _ = self.server.request(method, path)
            self.assertEqual((status, headers["Allow"]), (405, takes))
        status, headers, body = self.server.request("HEAD", "/v1/models")
        self.assertEqual((status, body), (200, b""))

    def test_a_stranger_is_refused_before_the_body(self):
        data = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n"
        with self.server.connect() as connection:
            connection.sendall(data)
            self.assertIn(b" 401 ", receive_all(connection).split(b"\r\n")[0])

    def test_requests_behind_each_other_are_answered_in_order(self):
        bodies = [{"tokens": [100 + i]} for i in range(50)]
        one_by_one = [self.server.json("POST", "/detokenize", body) for body in bodies]
        together = b"".join(self.server.raw_request("/detokenize", body) for body in bodies)

        answers = self.exchange(together + self.head("Connection: close", path="/version", method="GET"))

        received = [json.loads(part.split(b"\r\n\r\n")[1]) for part in answers.split(b"HTTP/1.1 ")[1:]]
        self.assertEqual(received[:-1], one_by_one)
        self.assertIn("version", received[-1])

    def test_http_1_0_gets_a_stream_without_chunks(self):
        body = json.dumps({**LONG, "max_tokens": 3}).encode()
        head = f"POST /v1/completions HTTP/1.0\r\nAuthorization: Bearer {self.server.key}\r\nContent-Length: {len(body)}\r\n\r\n"
        answer = self.exchange(head.encode() + body)
        self.assertIn(b"Connection: close", answer)
        self.assertTrue(answer.endswith(b"data: [DONE]\n\n"), answer[-60:])
        self.assertNotIn(b"chunked", answer)

    def test_a_client_is_told_to_go_on(self):
        body = json.dumps({"prompt": "x", "max_tokens": 1}).encode()
        with self.server.connect() as connection:
            connection.sendall(self.head("Expect: 100-continue", f"Content-Length: {len(body)}", "Connection: close"))
            self.assertEqual(connection.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
            connection.sendall(body)
            self.assertIn(b"200 OK", receive_all(connection))


class Leaving(unittest.TestCase):
    def test_a_thousand_clients_that_leave_in_mid_stream_hold_no_page(self):
        options = ("--no-prefix-caching", "--max-num-seqs", "1000", "--max-num-batched-tokens", "4096")
        with harness.Server(*options) as server:
            pages = server.metrics()["windlass:kv_pages_free"]
            clients = [server.connect() for _ in range(1000)]
            for client in clients:
                client.sendall(server.raw_request("/v1/completions", LONG))
            waiting = select.poll()
            for client in clients:
                waiting.register(client, select.POLLIN)
            begun = set()
            while len(begun) < 1000:  # every stream has begun
                for descriptor, _ in waiting.poll(20000):
                    begun.add(descriptor)
                    waiting.unregister(descriptor)
            busy = server.metrics()
            for client in clients:
                client.close()
            left = time.monotonic()
            harness.wait_until(lambda: server.metrics()["windlass:kv_pages_free"] == pages, 10, "free pages")
            took = time.monotonic() - left
            after = server.metrics()

        self.assertGreater(busy["vllm:num_requests_running"], 500)
        self.assertLess(busy["windlass:kv_pages_free"], pages)
        self.assertEqual(after["windlass:requests_open"], 0)
        self.assertEqual(after["vllm:num_requests_running"] + after["vllm:num_requests_waiting"], 0)
        print(f"pages were free {took:.2f} s after the last of 1000 clients left")

    def test_a_full_queue_gets_429_and_when_to_come_again(self):
        with harness.Server("--max-num-seqs", "1", "--max-waiting", "1") as server:
            clients = [server.connect() for _ in range(2)]
            for client in clients:
                client.sendall(server.raw_request("/v1/completions", LONG))
            harness.wait_until(lambda: server.metrics()["windlass:requests_open"] == 2, 5, "two open requests")
            status, headers, body = server.request("POST", "/v1/completions", {"prompt": "x"})
            for client in clients:
                client.close()
            harness.wait_until(lambda: server.request("POST", "/v1/completions", {"prompt": "x"})[0] == 200, 5, "room")

        self.assertEqual((status, json.loads(body)["error"]["code"]), (429, "queue_full"))
        self.assertIn("Retry-After", headers)

    def test_a_stopped_client_holds_up_nobody(self):
        with harness.Server() as server:
            slow = server.connect()
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.sendall(server.raw_request("/v1/completions", {**LONG, "n": 8, "logprobs": 5}))  # and never reads
            answer = server.json("POST", "/v1/completions", {"prompt": "x", "max_tokens": 3})
            slow.close()
            harness.wait_until(lambda: server.metrics()["windlass:requests_open"] == 0, 5, "the end of the slow one")

        self.assertEqual(answer["usage"]["completion_tokens"], 3)


if __name__ == "__main__":
    harness.main()
