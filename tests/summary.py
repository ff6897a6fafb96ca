#!/usr/bin/env python3
"""The table at the end of tests/run.sh.

  summary.py RESULTS ALLOWED_SKIPS

RESULTS holds STAGE.xml (CTest's JUnit files) and steps.tsv (stage, name, passed|failed, seconds). A CTest test that is
a GoogleTest program counts as many tests as it ran. Exit status 1: something failed, nothing ran, or a skip is not
allowed.
"""
import collections
import glob
import os
import re
import sys
import xml.etree.ElementTree as xml

Result = collections.namedtuple("Result", "stage name state message seconds")
GTEST_LINE = re.compile(r"^\[ +(RUN|OK|FAILED|SKIPPED) +\] ([\w/]+\.[\w/]+)(?:,|\s|$)")


def gtest_results(stage, program, output):
    """One result for each test that a GoogleTest program reports; a test that began and never ended has failed."""
    results, running, message = [], None, []
    for line in output.splitlines():
        found = GTEST_LINE.match(line)
        if not found:
            message.append(line.strip())
        elif found[1] == "RUN":
            running, message = found[2], []
        elif found[2] == running:  # the list of failures at the end names tests again: not counted
            state = {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}[found[1]]
            text = " ".join(m for m in message if m and not m.endswith(": Skipped"))
            results.append(Result(stage, f"{program}:{running}", state, text[:300], 0))
            running = None
    if running:
        results.append(Result(stage, f"{program}:{running}", "failed", "did not end", 0))
    return results


def ctest_results(stage, case):
    """Results of one <testcase> of CTest's JUnit file."""
    name, seconds = case.get("name"), float(case.get("time") or 0)
    inner = gtest_results(stage, name, case.findtext("system-out") or "")
    failure, skipped = case.find("failure"), case.find("skipped")
    if failure is not None and not any(r.state == "failed" for r in inner):
        inner.append(Result(stage, name, "failed", failure.get("message") or "failed", 0))
    elif skipped is not None or case.get("status") in ("notrun", "disabled"):
        inner.append(Result(stage, name, "skipped", skipped.get("message") if skipped is not None else "not run", 0))
    if not inner:
        inner.append(Result(stage, name, "passed", "", 0))
    inner[0] = inner[0]._replace(seconds=seconds)
    return inner


def read_results(folder):
    results = []
    if os.path.exists(os.path.join(folder, "steps.tsv")):
        with open(os.path.join(folder, "steps.tsv")) as lines:
            for line in lines:
                stage, name, state, seconds = line.rstrip("\n").split("\t")
                results.append(Result(stage, name, state, "", float(seconds)))
    for path in sorted(glob.glob(os.path.join(folder, "*.xml"))):
        stage = os.path.splitext(os.path.basename(path))[0]
        for case in xml.parse(path).getroot().iter("testcase"):
            results += ctest_results(stage, case)
    return results


def read_allowed(path):
    allowed = []
    with open(path) as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                pattern, reason = re.split(r"\s{2,}", line.strip(), maxsplit=1)
                allowed.append((re.compile(pattern), reason))
    return allowed


def reason_for(result, allowed):
    """Why this skip is allowed; None where it is not."""
    line = f"{result.stage} {result.name}: {result.message}"
    return next((reason for pattern, reason in allowed if pattern.match(line)), None)


def print_table(results):
    print(f"\n{'build':<12}{'passed':>8}{'failed':>8}{'skipped':>8}{'seconds':>9}")
    for stage in dict.fromkeys(r.stage for r in results):
        mine = [r for r in results if r.stage == stage]
        counts = collections.Counter(r.state for r in mine)
        print(f"{stage:<12}{counts['passed']:>8}{counts['failed']:>8}{counts['skipped']:>8}{sum(r.seconds for r in mine):>9.0f}")


def print_skips(results, allowed):
    """Lists the skips; returns those that are not allowed."""
    refused = []
    for r in (r for r in results if r.state == "skipped"):
        reason = reason_for(r, allowed)
        if reason is None:
            refused.append(r)
        print(f"skipped  {r.stage} {r.name}: {r.message}  [{reason or 'NOT in tests/allowed_skips'}]")
    return refused


def main():
    results, allowed = read_results(sys.argv[1]), read_allowed(sys.argv[2])
    print_table(results)
    refused = print_skips(results, allowed)
    failed = [r for r in results if r.state == "failed"]
    for r in failed:
        print(f"failed   {r.stage} {r.name} {r.message}")
    if refused:
        print(f"{len(refused)} tests were skipped without leave: run them, or give the reason in {sys.argv[2]}")
    count = collections.Counter(r.state for r in results)
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped")
    return 1 if failed or refused or not count["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
