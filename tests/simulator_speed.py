#!/usr/bin/env python3
"""Long, for a quiet machine: 1,000,000 requests on 1,000 instances take less than a minute of one core and 4 GiB.

  simulator_speed.py SIMULATOR_BENCH
"""
import json
import subprocess
import sys

line = subprocess.run([sys.argv[1]], check=True, capture_output=True, text=True).stdout
run = json.loads(line)
print(line)
sys.exit(0 if run["completed"] == 1_000_000 and run["seconds"] < 60 and run["peak_mib"] < 4096 else 1)
