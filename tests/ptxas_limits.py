"""Checks what ptxas says of every kernel in a build's output (-Xptxas=-v): no spills, no local memory beyond the
limits below, and registers few enough for the warps that the kernel counts on.

    python3 tests/ptxas_limits.py BUILD_LOG
"""
import re
import sys

# Kernel -> (registers at most, bytes of local memory at most, and how many of those may be spilled registers). Local
# memory is what cannot lie in registers: an array whose index is not known when the kernel is compiled. AttendKernel's
# eight bytes are a register of divergent branches, saved once.
LIMITS = {
    "RmsNormKernel": (48, 0, 0),
    "GatedActivationKernel": (48, 0, 0),
    "EncodeKernel": (48, 0, 0),
    "EmbeddingKernel": (48, 0, 0),
    "LogNormalizerKernel": (64, 0, 0),
    "RouteKernel": (64, 0, 0),
    "GatherKernel": (32, 0, 0),
    "CombineKernel": (32, 0, 0),
    "SumPartialsKernel": (48, 0, 0),
    "RopeKernel": (80, 0, 0),
    "MatMulF32Kernel": (80, 0, 0),
    "MatMulBf16Kernel": (128, 0, 0),
    "MatMulInt8Kernel": (128, 0, 0),
    "AttendKernel": (168, 8, 8),
    "AttendBf16Kernel": (255, 0, 0),
    "MergeSpansKernel": (80, 0, 0),
    "probe_kernel": (8, 0, 0),
}


def kernels(log):
    """(mangled name, architecture, local bytes, spill bytes, registers) of every kernel in the log."""
    entry = None
    for line in log:
        if match := re.search(r"Compiling entry function '(\w+)' for '(\w+)'", line):
            entry = [match[1], match[2], 0, 0]
        elif entry and (match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes", line)):
            entry[2:] = [int(match[1]), int(match[2]) + int(match[3])]
        elif entry and (match := re.search(r"Used (\d+) registers", line)):
            yield (*entry, int(match[1]))
            entry = None


def main():
    found = set()
    problems = []
    with open(sys.argv[1], encoding="utf-8", errors="replace") as log:
        for name, architecture, local_bytes, spill_bytes, registers in kernels(log):
            known = [kernel for kernel in LIMITS if re.search(rf"\d{kernel}(?![a-z])", name)]
            if not known:
                problems.append(f"{name}: not in the table of limits")
                continue
            kernel = known[0]
            found.add(kernel)
            most_registers, most_local, most_spilled = LIMITS[kernel]
            print(f"{architecture} {kernel}: {registers} registers, {local_bytes} bytes local, {spill_bytes} spilled")
            if spill_bytes > 2 * most_spilled:  # stored and loaded
                problems.append(f"{architecture} {kernel}: spills {spill_bytes} bytes")
            if local_bytes > most_local:
                problems.append(f"{architecture} {kernel}: {local_bytes} bytes of local memory, {most_local} allowed")
            if registers > most_registers:
                problems.append(f"{architecture} {kernel}: {registers} registers, {most_registers} allowed")
    problems += [f"{kernel}: not in the log" for kernel in LIMITS.keys() - found]
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
