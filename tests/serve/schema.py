"""schemathesis: requests made from the server's own description, good ones and bad ones, get what it promises."""
import importlib.util
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import harness

if importlib.util.find_spec("schemathesis") is None:
    harness.skip_all("needs the Python package schemathesis; tests/run.sh installs it")

EXAMPLES = os.environ.get("WINDLASS_SCHEMA_EXAMPLES", "15")  # for each route and phase
# A description says nothing of what fits one model: token ids below its vocabulary, prompts within its context, ids of files.
# So a proper request may be refused. And one whose own deadline (deadline_ms) is over gets a 504, which is no failure.
CONFIGURATION = """
[checks]
positive_data_acceptance.enabled = false
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "504"]
"""


class Schema(unittest.TestCase):
    def test_what_the_description_promises_holds(self):
        with harness.Server("--max-model-len", "64") as server, tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run", server.base_url.removesuffix("/v1") + "/openapi.json",
                       "--header", f"Authorization: Bearer {server.key}", "--max-examples", EXAMPLES,
                       "--seed", "1", "--no-shrink", "--request-timeout", "30", "--generation-database", "none", "--no-color", "--output-sanitize", "true"]
            (pathlib.Path(folder) / "schemathesis.toml").write_text(CONFIGURATION)
            ended = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300 + 15 * int(EXAMPLES))
            alive, status = server.process.poll() is None, server.stop()

        self.assertEqual(ended.returncode, 0, ended.stdout[-8000:])
        self.assertEqual((alive, status), (True, 0))
        selected, tested, cases = (int(re.search(pattern, ended.stdout)[1]) for pattern in (r"Selected: (\d+)", r"Tested: (\d+)", r"(\d+) generated"))
        self.assertEqual(tested, selected, ended.stdout[-2000:])
        self.assertGreater(tested, 20)
        self.assertGreater(cases, 500)


if __name__ == "__main__":
    harness.main()
