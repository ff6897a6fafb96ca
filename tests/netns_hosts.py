"""Hosts that are network namespaces of this machine: each has a name and an address of its own, joined by a bridge."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

ENTER = 'hostname "$0" && mount --bind {hosts} /etc/hosts && exec "$@"'
AGENT = """#!/bin/sh
# What mpirun starts its daemons with, in place of ssh: AGENT [-OPTION...] HOST COMMAND...
while [ "${1#-}" != "$1" ]; do shift; done
host=$1
shift
exec nsenter --net=/run/netns/"$host" unshare --uts --mount sh -c '@enter@' "$host" /bin/sh -c "$*"
"""


class NoHosts(Exception):
    """Why namespaces cannot be made here."""


class Hosts:
    def __init__(self, count):
        missing = [tool for tool in ("ip", "nsenter", "unshare") if not shutil.which(tool)]
        if missing or os.geteuid() != 0:
            raise NoHosts(f"{missing[0]} is not installed" if missing else "they need root")
        self._remove_those_of_killed_tests()
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.names = [f"wl{os.getpid()}h{i}" for i in range(count)]
        self.switch = f"wl{os.getpid()}s"
        lines = ["127.0.0.1 localhost"] + [f"10.77.0.{10 + i} {name}" for i, name in enumerate(self.names)]
        (self.folder / "hosts").write_text("\n".join(lines) + "\n")
        self.enter = ENTER.format(hosts=self.folder / "hosts")
        self.agent = self.folder / "agent"
        self.agent.write_text(AGENT.replace("@enter@", self.enter))
        self.agent.chmod(0o755)
        try:
            self._connect()
            subprocess.run(self.inside(self.names[0], "true"), check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as failed:
            self.stop()
            raise NoHosts(failed.stderr.strip() or str(failed)) from failed

    def _remove_those_of_killed_tests(self):
        names = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
        for name, process in re.findall(r"^(wl(\d+)(?:h\d+|s))\b", names, re.MULTILINE):
            if not os.path.exists(f"/proc/{process}"):
                self._kill(name)
                subprocess.run(["ip", "netns", "del", name], capture_output=True)

    def _ip(self, *words):
        return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout

    def _connect(self):
        self._ip("netns", "add", self.switch)
        self._ip("-n", self.switch, "link", "add", "br0", "type", "bridge")
        self._ip("-n", self.switch, "link", "set", "br0", "up")
        for i, name in enumerate(self.names):
            self._ip("netns", "add", name)
            self._ip("-n", name, "link", "set", "lo", "up")
            self._ip("link", "add", f"v{i}", "netns", self.switch, "type", "veth", "peer", "name", "eth0", "netns", name)
            self._ip("-n", self.switch, "link", "set", f"v{i}", "master", "br0", "up")
            self._ip("-n", name, "addr", "add", f"10.77.0.{10 + i}/24", "dev", "eth0")
            self._ip("-n", name, "link", "set", "eth0", "up")

    def inside(self, name, *words):
        """The command line that runs `words` on that host."""
        return ["nsenter", f"--net=/run/netns/{name}", "unshare", "--uts", "--mount", "sh", "-c", self.enter, name, *words]

    def environment(self):
        """For Open MPI 4's mpirun on the first host."""
        wanted = {"plm_rsh_agent": str(self.agent), "plm_rsh_no_tree_spawn": "1", "oob_tcp_if_include": "eth0",
                  "btl_tcp_if_include": "eth0", "mpi_yield_when_idle": "1"}
        return {f"OMPI_MCA_{name}": value for name, value in wanted.items()} | {
            "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}

    def crossed_bytes(self):
        """That have left any host."""
        links = [json.loads(self._ip("-n", name, "-j", "-s", "link", "show", "eth0"))[0] for name in self.names]
        return sum(link["stats64"]["tx"]["bytes"] for link in links)

    def lose(self, name):
        """Its network is gone, and every process on it."""
        self._ip("-n", name, "link", "set", "eth0", "down")
        self._kill(name)

    def _kill(self, name):
        end = time.monotonic() + 10
        while time.monotonic() < end:
            found = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout.split()
            if not found:
                return
            for process in found:
                try:
                    os.kill(int(process), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.02)

    def stop(self):
        for name in [*self.names, self.switch]:
            self._kill(name)
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)
