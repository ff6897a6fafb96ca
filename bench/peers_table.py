"""The table of ratios: what Windlass is measured against, and which ratio is wanted."""
import collections

# One row: what it says, workload, case, Windlass's form, peer, the peer's forms (None: the fastest), wanted ratio.
Row = collections.namedtuple("Row", "workload case form peer peer_form wanted")


def rows():
    for tokens, ratio in ((512, 1.8), (2048, 2.5), (7000, 3.5)):
        yield Row("W1", f"prefill {tokens}", "q4_1", "llama.cpp", None, ratio)
        yield Row("W1", f"prefill {tokens}", "q4_1", "vllm", None, 1.4)
        yield Row("W1", f"prefill {tokens}", "bf16", "vllm", None, 1.0)
    for context, ratio in ((512, 1.8), (7000, 2.5)):
        yield Row("W2", f"decode at {context}", "q4_1", "llama.cpp", "q4_1", ratio)
        yield Row("W2", f"decode at {context}", "q4_1", "vllm", None, None)
    for size, ratio, ratio_vllm in ((8, 2.5, 1.5), (32, 3.0, 2.0)):
        yield Row("W3", f"decode {size} sequences", "q4_1", "llama.cpp", None, ratio)
        yield Row("W3", f"decode {size} sequences", "q4_1", "vllm", None, ratio_vllm)
    yield Row("W4", "sharing on", "q4_1", "llama.cpp", None, None)
    yield Row("W4", "sharing on", "q4_1", "vllm", None, 1.0)
    yield Row("W5", "64 requests of the trace", "q4_1", "llama.cpp", None, 3.0)
    yield Row("W5", "64 requests of the trace", "q4_1", "vllm", None, 1.5)
    yield Row("W6", "start to first token", "q4_1", "llama.cpp", None, 1.0)


def speed(result):
    """More is better."""
    return 1 / result["median"] if result["unit"] == "s" else result["median"]


def find(results, row, peer, form):
    """The fastest result of that peer for a row; None where it was not measured."""
    matching = [r for r in results if r["peer"] == peer and r["workload"] == row.workload and r["case"] == row.case
                and (form is None or r["format"] == form)]
    return max(matching, key=speed, default=None)


def ratio_line(results, row):
    mine, other = find(results, row, "windlass", row.form), find(results, row, row.peer, row.peer_form)
    if not mine or not other:
        return None
    ratio = speed(mine) / speed(other)
    verdict = "" if row.wanted is None else "met" if ratio >= row.wanted else "MISSED"
    share = f"{100 * mine['share_of_limit']:.0f} %" if "share_of_limit" in mine else ""
    wanted = "" if row.wanted is None else f"{row.wanted:.1f}"
    return (f"{row.workload:<4}{row.case + ' (' + row.form + ')':<34}{mine['median']:>10.4g}{share:>7}  "
            f"{row.peer + ' ' + other['format']:<16}{other['median']:>10.4g}{mine['unit']:>10}{ratio:>8.2f}"
            f"{wanted:>8}  {verdict}")


def print_memory(results):
    for r in results:
        if r["workload"] == "W6" and r["peer"] == "windlass" and r.get("model_mib"):
            print(f"peak memory over the model file ({r['format']}): {r['peak_mib'] - r['model_mib']:.0f} MiB "
                  "(wanted: below 150 over weights and KV pool)")


def print_neighbours(results):
    for r in results:
        if r["case"].endswith(", neighbours"):
            alone = next(o for o in results if o["case"] == r["case"].replace("neighbours", "alone"))
            print(f"{r['case']}: {100 * r['median'] / alone['median']:.0f} % of the speed alone (wanted: 45 %)")


def print_table(results):
    print(f"{'':<4}{'what':<34}{'windlass':>10}{'limit':>7}  {'peer':<16}{'':>10}{'unit':>10}{'ratio':>8}{'wanted':>8}")
    for line in filter(None, (ratio_line(results, row) for row in rows())):
        print(line)
    print_memory(results)
    print_neighbours(results)
