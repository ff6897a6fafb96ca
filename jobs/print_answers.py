#!/usr/bin/env python3
"""Prints each prompt of a batch with its answer, and the batch's summary.

  print_answers.py INPUT.jsonl ANSWERS.jsonl REPORT.json
"""
import json
import sys
import textwrap


def read_lines(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def prompt_of(request):
    body = request["body"]
    return body["messages"][-1]["content"] if "messages" in body else str(body["prompt"])


def answer_of(record):
    if record["response"]["status_code"] != 200:
        return "error: " + record["response"]["body"]["error"]["message"]
    choice = record["response"]["body"]["choices"][0]
    return choice["message"]["content"] if "message" in choice else choice["text"]


def summary_of(report):
    requests, tokens = report["requests"], report["tokens"]
    return (f"{requests['answered']} requests answered, {requests['input_errors'] + requests['run_errors']} failed: "
            f"{tokens['prompt']} prompt tokens and {tokens['generated']} generated ones in {report['seconds']} s "
            f"({report['generated_tokens_per_s']} generated tokens/s; the model was loaded in "
            f"{report['load_seconds']} s)")


def kv_of(report):
    """How much KV went from rank to rank, by what, how fast; empty where there was one rank."""
    kv, words = report.get("kv"), []
    for name, flow in ((name, kv[name]) for name in ("shared", "copied") if kv and kv[name]["requests"]):
        how = (f"handed over in shared memory, no byte copied, {flow['us_per_request']} us of work a prompt (copies would move "
               f"at {kv['link_gb_per_s']} GB/s)" if name == "shared" else
               f"copied by '{flow['transport']}' at {flow['gb_per_s']} GB/s (MPI alone moves {kv['link_gb_per_s']} GB/s there)")
        words.append(f"KV: {flow['requests']} prompts were computed by one rank and continued by another; their "
                     f"{flow['bytes'] / 2**20:.1f} MiB of KV in {flow['pages']} pages were {how}")
    return "\n".join(words)


def main():
    answers = {record["custom_id"]: answer_of(record) for record in read_lines(sys.argv[2])}
    for request in read_lines(sys.argv[1]):
        print(f"\n> {prompt_of(request)}")
        for line in answers.get(request["custom_id"], "(no answer)").strip().splitlines():
            print(textwrap.fill(line, 110, initial_indent="  ", subsequent_indent="  "))
    with open(sys.argv[3], encoding="utf-8") as report:
        report = json.load(report)
    print(f"\n{summary_of(report)}")
    if kv_of(report):
        print(kv_of(report))


if __name__ == "__main__":
    main()
