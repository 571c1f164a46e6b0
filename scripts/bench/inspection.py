#!/usr/bin/env python3
"""Looking at every head of a real model: attnlab against Hugging Face transformers, interleaved, a process each time.

Writes inspection.md and inspection.json. The models come from scripts/fixtures/real_models.py. (This file is not called
inspect.py because it would hide Python's module of that name from everything in this folder.)
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import HERE, arguments, environment, machine, options, preface, shown, spread, versions, write

BASELINE = HERE / "transformers_baseline.py"

def attnlab(given, what, tokens, threads):
    return [str(given.attnlab), "bench", "look", str(given.model),
            *options(what=what, tokens_file=tokens, threads=threads, repeats=given.repeats)]


def transformers(given, what, tokens, threads):
    return [str(given.python), str(BASELINE),
            *options(model=given.model, tokens_file=tokens, what=what, threads=threads, repeats=given.repeats)]


def contestants(given, tokens, threads):
    """Name → command."""
    return {
        "attnlab, plain pass": attnlab(given, "forward", tokens, threads),
        "attnlab, statistics of all heads": attnlab(given, "statistics", tokens, threads),
        "attnlab, all maps": attnlab(given, "maps", tokens, threads),
        "transformers, plain pass (SDPA)": transformers(given, "forward", tokens, threads),
        "transformers, all maps (eager)": transformers(given, "maps", tokens, threads),
    }


# Name of a ratio → who, over whom, of what.
RATIOS = {
    "all maps, one pass: transformers over attnlab": ("transformers, all maps (eager)", "attnlab, all maps", "pass_s"),
    "all maps, whole process: transformers over attnlab": ("transformers, all maps (eager)", "attnlab, all maps", "process_s"),
    "all maps, peak memory: transformers over attnlab": ("transformers, all maps (eager)", "attnlab, all maps", "process_rss_mib"),
    "statistics over a plain pass, attnlab": ("attnlab, statistics of all heads", "attnlab, plain pass", "pass_s"),
    "statistics of attnlab over a plain pass of transformers":
        ("attnlab, statistics of all heads", "transformers, plain pass (SDPA)", "pass_s"),
    "plain pass: transformers over attnlab": ("transformers, plain pass (SDPA)", "attnlab, plain pass", "pass_s"),
}


def run(command, threads):
    """The JSON that the program prints last, with the wall time and the peak memory of the whole process."""
    # Threads are also given in the environment for what transformers' libraries start before they are told.
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(OMP_NUM_THREADS=str(threads)))
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} ended with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    found = json.loads(out.strip().splitlines()[-1])
    return found | dict(process_s=wall, process_cpu_s=usage.ru_utime + usage.ru_stime, process_rss_mib=usage.ru_maxrss * unit / 2**20)


def token_ids(count, vocab):
    """Ids that look random and are the same everywhere, without the special tokens at the start of most vocabularies."""
    state, ids = 20_240_229, []
    for _ in range(count):
        state = (state * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) % 2**64
        ids.append(10 + (state >> 33) % (vocab - 10))
    return ids


def measure(given, length, threads):
    vocab = json.loads((given.model / "config.json").read_text())["vocab_size"]
    with tempfile.TemporaryDirectory() as folder:
        tokens = Path(folder) / "tokens.txt"
        tokens.write_text(",".join(map(str, token_ids(length, vocab))))
        competing = {name: command for name, command in contestants(given, tokens, threads).items() if wanted(given, name)}
        results = {name: [] for name in competing}
        for round_ in range(given.rounds):
            for name, command in competing.items():
                results[name].append(run(command, threads))
                done = results[name][-1]
                print(f"T {length}, threads {threads}, round {round_ + 1}: {name} {done['pass_s']:.3f} s a pass, "
                      f"{done['process_s']:.2f} s and {done['process_rss_mib']:.0f} MiB in all", file=sys.stderr)
    keys = ("load_s", "first_pass_s", "pass_s", "process_s", "process_cpu_s", "process_rss_mib")
    summary = {name: {key: spread([one[key] for one in rounds]) for key in keys} for name, rounds in results.items()}
    # Round by round, so that a slow minute slows both sides of a ratio.
    ratios = {name: spread([a[key] / b[key] for a, b in zip(results[over], results[under])])
              for name, (over, under, key) in RATIOS.items() if over in results and under in results}
    return dict(length=length, threads=threads, contestants=summary, ratios=ratios, results=results)


def wanted(given, name):
    return (name.startswith("attnlab") or not given.no_transformers) and ("maps" not in name or not given.no_maps)


def page(about):
    lines = preface(f"Looking at {about['model']}, attnlab and transformers", about)
    lines += [
        "f32. *Pass* is the fastest pass after the first one in a process, the model being loaded; *first* is the first one.",
        "*Process* is everything from start to exit: starting, loading, all passes. Memory is the process's peak."]
    for one in about["measured"]:
        lines += [
            "", f"## {one['length']} tokens, {one['threads']} thread{'s' if one['threads'] > 1 else ''}", "",
            "| | pass, s | first, s | load, s | process, s | CPU, s | peak RSS, MiB |", "|---|---|---|---|---|---|---|"]
        for name, found in one["contestants"].items():
            cells = [shown(found[key]) for key in
                     ("pass_s", "first_pass_s", "load_s", "process_s", "process_cpu_s", "process_rss_mib")]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines += ["", "| ratio | |", "|---|---|"]
        lines += [f"| {name} | **{shown(ratio)}** |" for name, ratio in one["ratios"].items()]
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="a folder of Hugging Face files")
    parser.add_argument("--lengths", nargs="+", type=int, default=[1024])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--repeats", type=int, default=1, help="passes of a process after its first")
    parser.add_argument("--no-maps", action="store_true", help="leave out what holds all maps at once")
    parser.add_argument("--no-transformers", action="store_true", help="attnlab alone")
    given = arguments(parser)
    about = dict(machine=machine(), versions=versions(given.attnlab, given.python), rounds=given.rounds,
                 model=given.model.resolve().name, measured=[])
    for length in given.lengths:
        for threads in given.threads:
            about["measured"].append(measure(given, length, threads))
            write(given.out, "inspection", about, page(about))
    print("\n".join(page(about)))


if __name__ == "__main__":
    main()
