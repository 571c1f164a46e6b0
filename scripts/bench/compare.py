#!/usr/bin/env python3
"""One training step of attnlab against PyTorch's, interleaved: A B C A B C …, a process each time.

Writes compare.md and compare.json. PyTorch runs eagerly (SDPA, fused AdamW) and through torch.compile; attnlab is
held against the better of the two, round by round.
"""
import argparse
import sys

from measure import SIZES, arguments, attnlab, machine, preface, run, shown, spread, torch, versions, write

# glibc gives large buffers back to the system at every free, which costs a page fault for each page when they are asked
# for again. attnlab links an allocator that does not; this is the same for PyTorch.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "8589934592"}


def contestants(given, values):
    """Name → command and environment."""
    found = {
        "attnlab": (attnlab(given.attnlab, "train", **values), {}),
        "PyTorch eager": (torch(given.python, **values, attn="sdpa", optim="fused"), {}),
    }
    if not given.no_compile:
        found["PyTorch compiled"] = (torch(given.python, **values, attn="sdpa", optim="fused", compile=True), {})
    if given.keep_memory:
        for name in [name for name in found if name != "attnlab"]:
            found[name + ", memory kept"] = (found[name][0], KEEP_MEMORY)
    return found


def check(name, ours, theirs):
    """Both must have trained the same thing, or the times mean nothing."""
    for key in ("params", "d_model", "layers", "heads", "seq_len", "batch", "vocab", "threads"):
        if ours[key] != theirs[key]:
            sys.exit(f"{name}: {key} is {theirs[key]} and attnlab's {ours[key]}")
    if abs(ours["gflop_per_step"] - theirs["gflop_per_step"]) > 0.001:
        sys.exit(f"{name}: operations are counted differently")
    if abs(ours["loss_first"] - theirs["loss_first"]) > 0.1:
        sys.exit(f"{name}: the first loss is {theirs['loss_first']} and attnlab's {ours['loss_first']}")


def measure(given, size, threads):
    competing = contestants(given, SIZES[size] | dict(threads=threads))
    results = {name: [] for name in competing}
    for round_ in range(given.rounds):
        for name, (command, more) in competing.items():
            results[name].append(run(command, **more))
            done = results[name][-1]
            print(f"{size}, threads {threads}, round {round_ + 1}: {name} {done['ms_per_step']:.1f} ms", file=sys.stderr)
            check(name, results["attnlab"][-1], done)
    peak = spread([one["peak_gflops"] for one in results["attnlab"]])
    # The most that was seen: the peak does not change from round to round, only what disturbs its measurement.
    limit = peak["max"] * threads
    summary = {}
    for name, rounds in results.items():
        keys = ("ms_per_step", "ms_cpu_per_step", "peak_rss_mib", "tokens_per_s", "gflops", "first_step_s")
        summary[name] = {key: spread([one[key] for one in rounds]) for key in keys}
        summary[name]["peak_share"] = spread([one["gflops"] / limit for one in rounds])
    rivals = [rounds for name, rounds in results.items() if name != "attnlab"]
    # The better of PyTorch's in the median, then round by round, so that a slow minute slows both sides of a ratio.
    best = min(rivals, key=lambda rounds: spread([one["ms_per_step"] for one in rounds])["median"])
    times = lambda key: spread([b[key] / a[key] for a, b in zip(results["attnlab"], best)])
    return dict(
        size=size, threads=threads, options=SIZES[size], peak_gflops=peak, contestants=summary,
        speedup=times("ms_per_step"), speedup_cpu=times("ms_cpu_per_step"), memory=times("peak_rss_mib"), results=results)


def page(about):
    lines = preface("A training step, attnlab and PyTorch", about)
    lines += [
        "One step is forward, backward and AdamW of a pre-norm causal transformer with RoPE and a GELU MLP, f32.",
        "*Times* is the better PyTorch's time over attnlab's; *share* is of the GEMM peak measured in the same rounds.",
        "CPU time is user and system time of the whole process; memory is the process's peak, libraries and all.", "",
        "| size | threads | times | times, CPU time | times, memory | GEMM peak a thread, GFLOP/s |", "|---|---|---|---|---|---|"]
    for one in about["measured"]:
        lines.append(
            f"| {one['size']} | {one['threads']} | **{shown(one['speedup'])}** | {shown(one['speedup_cpu'])} | "
            f"{shown(one['memory'])} | {shown(one['peak_gflops'])} |")
    for one in about["measured"]:
        o = one["options"]
        lines += [
            "", f"## {one['size']}, {one['threads']} thread{'s' if one['threads'] > 1 else ''}", "",
            f"d = {o['d_model']}, L = {o['layers']}, H = {o['heads']}, T = {o['seq_len']}, B = {o['batch']}, "
            f"V = {o['vocab']}; {o['steps']} timed steps a round.", "",
            "| | ms a step | CPU ms a step | thousand tokens/s | GFLOP/s | share | peak RSS, MiB | first step, s |",
            "|---|---|---|---|---|---|---|---|"]
        for name, found in one["contestants"].items():
            tokens = {key: found["tokens_per_s"][key] / 1e3 for key in ("median", "min", "max")}
            share = {key: found["peak_share"][key] * 100 for key in ("median", "min", "max")}
            lines.append(
                f"| {name} | {shown(found['ms_per_step'])} | {shown(found['ms_cpu_per_step'])} | {shown(tokens)} | "
                f"{shown(found['gflops'])} | {shown(share, 0)} % | {shown(found['peak_rss_mib'])} | "
                f"{shown(found['first_step_s'])} |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--keep-memory", action="store_true", help="PyTorch also with glibc told to keep its memory")
    given = arguments(parser)
    about = dict(machine=machine(), versions=versions(given.attnlab, given.python), rounds=given.rounds, measured=[])
    for size in given.sizes:
        for threads in given.threads:
            about["measured"].append(measure(given, size, threads))
            write(given.out, "compare", about, page(about))
    print("\n".join(page(about)))


if __name__ == "__main__":
    main()
