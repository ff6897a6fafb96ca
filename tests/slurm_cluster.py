"""A Slurm of two emulated nodes on this machine, for a test alone: started in a folder of its own, stopped at the end."""
import os
import shutil
import socket
import subprocess
import tempfile
import time

CONFIGURATION = """
ClusterName=windlass
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={folder}/munge.sock
SlurmctldPort={port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdSpoolDir={folder}/spool.%n
StateSaveLocation={folder}/state
TmpFS={folder}/tmp.%n
SwitchType=switch/none
MpiDefault=pmix
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=bf_interval=2,sched_min_interval=100000,batch_sched_delay=0
SlurmdParameters=config_overrides
ReturnToService=2
MessageTimeout=10
MinJobAge=60
KillWait=3
JobRequeue=1
RebootProgram=/bin/true
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
NodeName=wn[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{second}] CPUs=4 RealMemory=4000 State=UNKNOWN
"""
TOOLS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue", "sinfo", "srun", "scancel")


class NoSlurm(Exception):
    """Why there can be no Slurm here."""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = sorted(each.getsockname()[1] for each in sockets)
    for each in sockets:
        each.close()
    return ports


class Cluster:
    def __init__(self):
        os.environ["PATH"] += ":/usr/sbin:/sbin"
        if os.getuid() != 0:
            raise NoSlurm("Slurm's daemons need root here")
        missing = [tool for tool in TOOLS if not shutil.which(tool)]
        if missing:
            raise NoSlurm(f"Slurm is not installed ({', '.join(missing)})")
        self.folder = tempfile.mkdtemp(prefix="windlass-slurm-", dir="/tmp")
        os.chmod(self.folder, 0o755)
        self.pids = []
        os.environ["SLURM_CONF"] = os.path.join(self.folder, "slurm.conf")
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def start(self):
        folder = self.folder
        for attempt in range(20):  # two ports in a row
            ports = free_ports(3)
            if ports[1] + 1 == ports[2] or ports[0] + 1 == ports[1]:
                break
        port = next(p for p in free_ports(9) if p not in ports)
        first = ports[1] if ports[1] + 1 == ports[2] else ports[0]
        with open(os.environ["SLURM_CONF"], "w") as out:
            out.write(CONFIGURATION.format(host=socket.gethostname().split(".")[0], folder=folder, port=port,
                                           first=first, second=first + 1))
        os.makedirs(os.path.join(folder, "state"))
        with open(os.open(os.path.join(folder, "munge.key"), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as key:
            key.write(os.urandom(1024))
        self.run("munged", "--force", f"--key-file={folder}/munge.key", f"--socket={folder}/munge.sock",
                 f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log",
                 f"--seed-file={folder}/munged.seed")
        self.run("slurmctld", "-c")
        for node in ("wn1", "wn2"):
            for kind in ("spool", "tmp"):
                os.makedirs(os.path.join(folder, f"{kind}.{node}"))
            self.run("slurmd", "-N", node)
        deadline = time.monotonic() + 60
        while self.ask("sinfo", "-h", "-t", "idle", "-o", "%D") != "2":
            if time.monotonic() > deadline:
                raise NoSlurm(f"Slurm's nodes did not come up in 60 s ({self.tail('slurmctld.log')})")
            time.sleep(0.1)

    def tail(self, name):
        try:
            with open(os.path.join(self.folder, name)) as file:
                return file.read()[-300:]
        except OSError as error:
            return str(error)

    def run(self, *words):
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise NoSlurm(f"{words[0]} does not start: {done.stderr.strip()[-300:]}")

    def ask(self, *words):
        """A tool's output; empty where it failed."""
        try:
            return subprocess.run(words, capture_output=True, text=True, timeout=20).stdout.strip()
        except subprocess.TimeoutExpired:
            return ""

    def state(self, job):
        """JobState and StartTime of a job; also after its end."""
        shown = self.ask("scontrol", "-o", "show", "job", str(job))
        return dict(field.split("=", 1) for field in shown.split() if "=" in field)

    def wait_for_end(self, job, seconds, on_look=None):
        """Until the job is over. Requeued jobs wait for two minutes by Slurm's will; here they start at once. on_look is
        told how often the job was started again."""
        deadline = time.monotonic() + seconds
        over_since = None
        while time.monotonic() < deadline:
            shown = self.state(job)
            state = shown.get("JobState", "")
            if on_look:
                on_look(int(shown.get("Restarts", 0)))
            is_over = state in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
            over_since = (over_since or time.monotonic()) if is_over else None
            # A job that asked for its requeue and has ended is FAILED for a moment, before it is PENDING: for as long as
            # a busy controller needs.
            if is_over and (state == "COMPLETED" or time.monotonic() - over_since > 30):
                return shown
            if state == "PENDING" and shown.get("Reason") == "BeginTime":
                self.ask("scontrol", "update", f"jobid={job}", "StartTime=now")
            time.sleep(0.2)
        raise AssertionError(f"job {job} did not end in {seconds} s: {self.state(job)}")

    def stop(self):
        for name in ("slurmd.wn1", "slurmd.wn2", "slurmctld", "munged"):
            try:
                with open(os.path.join(self.folder, name + ".pid")) as file:
                    pid = int(file.read())
                os.kill(pid, 15)
                for _ in range(50):
                    os.kill(pid, 0)
                    time.sleep(0.1)
            except (OSError, ValueError):
                continue
        shutil.rmtree(self.folder, ignore_errors=True)
