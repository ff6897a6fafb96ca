"""`windlass chat`: through pipes, and as a person types it, on a terminal."""
import json
import os
import pathlib
import pty
import select
import signal
import subprocess
import tempfile
import time
import unittest

import harness

SETTINGS = ("--temperature", "0", "--max-tokens", "8")


class Terminal:
    """A chat on a pseudo-terminal; use it in a `with`."""

    def __init__(self, *options, folder):
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execv(harness.PROGRAM, [harness.PROGRAM, "chat", *options])
        self.seen, self.code = "", None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.master)

    def type(self, words):
        os.write(self.master, words.encode())

    def wait_for(self, words, seconds=60):
        """What was printed up to `words`; the rest stays for the next call."""
        end = time.monotonic() + seconds
        while words not in self.seen:
            if not select.select([self.master], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"{words!r} did not come; there is {self.seen!r}")
            self.seen += os.read(self.master, 4096).decode(errors="replace").replace("\r\n", "\n")
        before, self.seen = self.seen.split(words, 1)
        return before

    def wait_for_end(self, seconds=30):
        def ended():
            if self.code is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.code = os.waitstatus_to_exitcode(status)
            while select.select([self.master], [], [], 0)[0]:
                try:
                    self.seen += os.read(self.master, 4096).decode(errors="replace")
                except OSError:
                    break
            return self.code is not None
        harness.wait_until(ended, seconds, "the end of the chat")
        return self.code


def children_of(pid):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(entry.name))
    return found


class Chat(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server()
        cls.addClassCleanup(cls.server.__exit__)
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)

    def piped(self, words, *options, code=0):
        run = subprocess.run([harness.PROGRAM, "chat", "--endpoint-file", str(self.server.endpoint_file), *options], input=words, cwd=self.folder,
                             capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, code, run.stderr)
        return run.stdout if code == 0 else run.stderr

    def answer(self, *messages):
        """What the API says to messages of user and assistant in turn, as a terminal shows it."""
        roles = ("user", "assistant")
        body = {"messages": [{"role": roles[i % 2], "content": words} for i, words in enumerate(messages)], "temperature": 0, "max_tokens": 8}
        return self.server.json("POST", "/v1/chat/completions", body)["choices"][0]["message"]["content"]

    @staticmethod
    def shown(words):
        return "".join(c for c in words if ord(c) >= 32 and ord(c) != 127 or c in "\n\t")

    def test_each_question_knows_what_was_said_before(self):
        first = self.answer("hello")
        second = self.answer("hello", first, "and now?")
        several = self.answer("one\ntwo")

        self.assertEqual(self.piped("hello\nand now?\n", *SETTINGS), self.shown(f"{first}\n{second}\n"))
        self.assertEqual(self.piped('"""\none\ntwo\n"""\n', *SETTINGS), self.shown(f"{several}\n"))

    def test_commands_change_what_is_said(self):
        out = self.piped("hello\n/undo\nhi\n/retry\n/save talk.json\n/new\n/show\n/load talk.json\n/nonsense\n/exit\nnever asked\n", *SETTINGS)
        saved = json.loads((self.folder / "talk.json").read_text())

        answer = self.answer("hi")
        self.assertEqual(saved, [{"role": "user", "content": "hi"}, {"role": "assistant", "content": answer}])
        self.assertEqual(out, self.shown(f"{self.answer('hello')}\nforgotten\n{answer}\n{answer}\nwritten to talk.json\na new conversation\n"
                                         f"nothing was said yet\nuser: hi\nassistant: {answer}\nthere is no /nonsense; /help lists the commands\n"))

    def test_instructions_and_settings_are_sent(self):
        body = {"messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "x"}], "seed": 7, "max_tokens": 5}
        wanted = self.server.json("POST", "/v1/chat/completions", body)["choices"][0]["message"]["content"]

        out = self.piped("/set max_tokens 5\nx\n", "--system", "be kind", "--seed", "7", "--max-tokens", "9")

        self.assertEqual(out, self.shown(f"max_tokens = 5\n{wanted}\n"))

    def test_what_the_server_refuses_is_told_and_the_chat_goes_on(self):
        self.assertIn("temperature", self.piped("/set temperature -1\nx\n/set temperature 0\nhello\n", code=1))

    def test_ctrl_c_stops_the_answer_only(self):
        with Terminal("--endpoint-file", str(self.server.endpoint_file), "--temperature", "0", "--max-tokens", "900", folder=self.folder) as chat:
            chat.wait_for("> ")
            chat.type("/set ignore_eos true\n")
            chat.wait_for("> ")
            chat.type("talk\n")
            harness.wait_until(lambda: self.server.metrics()["vllm:num_requests_running"] == 1, 20, "the answer's begin")
            chat.type("\x03")
            chat.wait_for("(stopped)")
            harness.wait_until(lambda: self.server.metrics()["vllm:num_requests_running"] == 0, 5, "the answer's end at the server")
            chat.wait_for("> ")
            chat.type("half a line\x03")
            chat.wait_for("(Ctrl-D or /exit ends)")
            chat.wait_for("> ")
            chat.type("/set max_tokens 8\n")
            chat.wait_for("> ")
            chat.type("/new\n/set ignore_eos\nhello\n")
            chat.wait_for("hello\n")
            chat.wait_for("> ")
            chat.type("\x04")
            self.assertEqual(chat.wait_for_end(), 0)

    def test_a_server_that_is_not_there_is_an_error(self):
        run = subprocess.run([harness.PROGRAM, "chat", "--base-url", "http://127.0.0.1:1/v1"], input="x\n", capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, 1)
        self.assertIn("cannot be reached", run.stderr)
        run = subprocess.run([harness.PROGRAM, "chat"], cwd=self.folder, input="", capture_output=True, text=True, timeout=60,
                             env={name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")})
        self.assertEqual(run.returncode, 2)
        self.assertIn("--base-url", run.stderr)


class OwnModel(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "chat.jinja").write_text(harness.TEMPLATE)
        self.options = ("--model", harness.TINY, *SETTINGS, "--", "--chat-template", str(self.folder / "chat.jinja"), "--threads", "1",
                        "--kv-cache-memory", "64MiB")

    def test_a_model_is_talked_with_and_its_server_goes_with_the_chat(self):
        with Terminal(*self.options, folder=self.folder) as chat:
            chat.wait_for("> ")
            servers = children_of(chat.pid)
            chat.type("hello\n")
            chat.wait_for("hello\n")
            chat.wait_for("> ")
            chat.type("/exit\n")
            self.assertEqual(chat.wait_for_end(), 0)
            self.assertEqual(len(servers), 1)
            harness.wait_until(lambda: not pathlib.Path(f"/proc/{servers[0]}").exists(), 10, "the server's end")

    def test_a_chat_that_is_killed_takes_its_server_along(self):
        with Terminal(*self.options, folder=self.folder) as chat:
            chat.wait_for("> ")
            server = children_of(chat.pid)[0]
            os.kill(chat.pid, signal.SIGKILL)

            def gone():
                try:
                    return pathlib.Path(f"/proc/{server}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
                except OSError:
                    return True
            harness.wait_until(gone, 20, "the server's end")

    def test_a_model_that_cannot_be_loaded_is_an_error(self):
        bad = self.folder / "bad.gguf"
        bad.write_bytes(b"no model")
        run = subprocess.run([harness.PROGRAM, "chat", "--model", str(bad)], input="x\n", capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, 2)
        self.assertIn("bad.gguf", run.stderr)


if __name__ == "__main__":
    harness.main()
