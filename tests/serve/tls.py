"""https: curl, the openai package, our own clients; and who is not let in."""
import json
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import unittest
import urllib.request

import harness

try:
    import openai
except ImportError:
    harness.skip_all("needs the Python package openai; tests/run.sh installs it")
if not shutil.which("openssl"):
    harness.skip_all("needs the program openssl to make a certificate")


def make_certificate(folder, name):
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
                    "-subj", "/CN=windlass", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return str(certificate), str(key)


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.certificate, cls.private_key = make_certificate(cls.folder, "server")
        cls.other = make_certificate(cls.folder, "other")[0]
        cls.server = harness.Server("--tls-cert", cls.certificate, "--tls-key", cls.private_key)
        cls.addClassCleanup(cls.server.__exit__)

    def client(self, certificate=None):
        trusted = ssl.create_default_context(cafile=certificate or self.certificate)
        return openai.OpenAI(base_url=self.server.base_url, api_key=self.server.key, max_retries=0, http_client=openai.DefaultHttpxClient(verify=trusted))

    def test_the_openai_package_over_https(self):
        client = self.client()
        request = {"model": "tiny", "prompt": "words " * 3000, "temperature": 0, "max_tokens": 40, "n": 3}
        self.assertTrue(self.server.base_url.startswith("https://"))

        whole = client.completions.create(**{**request, "prompt": [5] * 700})
        texts = {}
        for chunk in client.completions.create(**{**request, "prompt": [5] * 700}, stream=True):
            for choice in chunk.choices:
                texts[choice.index] = texts.get(choice.index, "") + choice.text

        self.assertEqual(texts, {choice.index: choice.text for choice in whole.choices})
        with self.assertRaises(openai.BadRequestError):  # a long request is read to its end
            client.completions.create(**request, extra_body={"padding": "x" * 300_000, "temperature": -1})

    def test_curl_and_both_versions(self):
        for version in ("1.2", "1.3"):
            run = subprocess.run(["curl", "-sS", "--fail", "--max-time", "20", "--cacert", self.certificate, f"--tlsv{version}", "--tls-max", version, "-H",
                                  f"Authorization: Bearer {self.server.key}", f"{self.server.base_url}/models", f"{self.server.base_url}/models"],
                                 capture_output=True, text=True)
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertEqual(run.stdout.count('"object":"list"'), 2)
        run = subprocess.run(["curl", "-sS", "--max-time", "20", f"{self.server.base_url}/models"], capture_output=True, text=True)
        self.assertEqual(run.returncode, 60)  # a certificate that nobody trusts

    def test_our_own_clients_trust_the_endpoint_file(self):
        chat = [harness.PROGRAM, "chat", "--endpoint-file", str(self.server.endpoint_file), "--max-tokens", "5", "--temperature", "0"]
        run = subprocess.run(chat, input="hi\nagain\n", capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertGreaterEqual(run.stdout.count("\n"), 2)
        run = subprocess.run([*chat, "--ca-file", self.other], input="hi\n", capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, 1)
        self.assertIn("certificate", run.stderr)
        run = subprocess.run([harness.PROGRAM, "bench-serve", "--endpoint-file", str(self.server.endpoint_file), "--num-prompts", "30", "--random-input-len", "200",
                              "--random-output-len", "5", "--report", "report.json"], cwd=self.folder, capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(json.loads((self.folder / "report.json").read_text())["completed"], 30)

    def test_who_does_not_speak_tls_gets_nothing_and_stops_nobody(self):
        for data in (f"GET /v1/models HTTP/1.1\r\nAuthorization: Bearer {self.server.key}\r\n\r\n".encode(), b"\x16\x03\x01\xff\xff" + bytes(70000), bytes(range(256)) * 20):
            with self.server.connect() as connection:
                try:
                    connection.sendall(data)
                    answer = b""
                    while piece := connection.recv(4096):
                        answer += piece
                except ConnectionResetError:
                    pass
            self.assertNotIn(b"HTTP", answer)
        silent = [socket.create_connection(self.server.address) for _ in range(50)]
        self.assertEqual(len(self.client().models.list().data), 1)
        for connection in silent:
            connection.close()

    def test_a_client_that_leaves_ends_its_request(self):
        stream = self.client().completions.create(model="tiny", prompt="x", max_tokens=1000, stream=True, extra_body={"ignore_eos": True})
        next(iter(stream))
        stream.close()
        metrics = urllib.request.Request(self.server.base_url.removesuffix("/v1") + "/metrics", headers={"Authorization": f"Bearer {self.server.key}"})

        def running():
            with urllib.request.urlopen(metrics, context=ssl.create_default_context(cafile=self.certificate), timeout=20) as response:
                text = response.read().decode()
            return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith("vllm:num_requests_running{"))
        harness.wait_until(lambda: running() == 0, 5, "the request's end")

    def test_files_that_are_no_certificates_are_refused(self):
        for options, word in (((self.folder / "none.pem", self.private_key), "--tls-cert"), ((self.certificate, self.certificate), "--tls-key"),
                              ((self.other, self.private_key), "--tls-key")):
            run = subprocess.run([harness.PROGRAM, "serve", "--model", harness.TINY, "--tls-cert", str(options[0]), "--tls-key", str(options[1])], cwd=self.folder,
                                 capture_output=True, text=True, timeout=60)
            self.assertEqual(run.returncode, 2)
            self.assertIn(word, run.stderr)
        run = subprocess.run([harness.PROGRAM, "serve", "--model", harness.TINY, "--tls-cert", self.certificate], capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, 2)


if __name__ == "__main__":
    harness.main()
