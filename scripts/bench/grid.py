#!/usr/bin/env python3
"""Twenty small trainings on all cores: `attnlab bench grid` against one PyTorch process a core, side by side.

Writes grid.md and grid.json. Interleaved. attnlab's throughput is all its steps over the wall clock, from the first
weight drawn to the last step. PyTorch's is the sum of what its processes reach in their timed steps, so that neither
its start nor the end of the slower process counts against it.
"""
import argparse
import os
import sys

from measure import SIZES, arguments, attnlab, finish, machine, preface, run, shown, spread, start, torch, versions, write


def side_by_side(given, compiled, steps):
    """As many PyTorch processes as cores, of one thread each, at the same time."""
    size = SIZES["S"] | dict(steps=steps, threads=1, compile=compiled, attn="sdpa", optim="fused")
    running = [start(torch(given.python, **size, seed=seed)) for seed in range(given.cores)]
    results = [finish(process) for process in running]
    return dict(
        tokens_per_s=sum(one["tokens_per_s"] for one in results),
        ms_cpu_per_step=sum(one["ms_cpu_per_step"] for one in results) / len(results),
        peak_rss_mib=sum(one["peak_rss_mib"] for one in results), processes=results)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--steps", type=int, default=30, help="of each run")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    given = arguments(parser)
    size = {key: value for key, value in SIZES["S"].items() if key not in ("steps", "warmup")}
    ours = attnlab(given.attnlab, "grid", **size, runs=given.runs, jobs=given.cores, steps=given.steps)
    # Each process does its part of the same steps.
    part = max(1, given.runs * given.steps // given.cores)
    results = {"attnlab": [], "PyTorch eager": []} | ({} if given.no_compile else {"PyTorch compiled": []})
    about = dict(machine=machine(), versions=versions(given.attnlab, given.python), rounds=given.rounds, results=results)
    for round_ in range(given.rounds):
        for name, rounds in results.items():
            if name == "attnlab":
                rounds.append(run(ours))
            else:
                rounds.append(side_by_side(given, name.endswith("compiled"), part))
            print(f"round {round_ + 1}: {name} {rounds[-1]['tokens_per_s']} tokens/s", file=sys.stderr)

    rivals = [rounds for name, rounds in results.items() if name != "attnlab"]
    best = max(rivals, key=lambda rounds: spread([one["tokens_per_s"] for one in rounds])["median"])
    about["speedup"] = spread([a["tokens_per_s"] / b["tokens_per_s"] for a, b in zip(results["attnlab"], best)])
    lines = preface("A grid of small runs, attnlab and PyTorch", about)
    lines += [
        f"{given.runs} runs of size S (d = 64, L = 2, H = 4, T = 64, B = 64), {given.steps} steps each: attnlab in one process,",
        f"{given.cores} runs at a time; PyTorch in {given.cores} processes of one thread side by side, {part} steps each. attnlab's start",
        "and end count, PyTorch's do not. Memory is of all processes together.", "",
        f"Throughput is **{shown(about['speedup'])}** times that of the better PyTorch.", "",
        "| | thousand tokens/s | CPU ms a step | peak RSS, MiB |", "|---|---|---|---|"]
    for name, rounds in results.items():
        lines.append(
            f"| {name} | {shown(spread([one['tokens_per_s'] / 1e3 for one in rounds]))} | "
            f"{shown(spread([one['ms_cpu_per_step'] for one in rounds]))} | "
            f"{shown(spread([one['peak_rss_mib'] for one in rounds]))} |")
    write(given.out, "grid", about, lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
