#!/usr/bin/env python3
"""The training step of each registered encoding against RoPE's: rope, x, rope, y, rope, …, a process each time.

Writes encodings.md and encodings.json. Each step is divided by that of the rope run just before it; rope itself is
measured like the others, and what it shows beside 1 is noise.
"""
import argparse
import json
import sys

from measure import SIZES, arguments, attnlab, machine, preface, run, said, shown, spread, versions, write


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="S")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--encodings", nargs="+", metavar="KIND", help="only these")
    given = arguments(parser, python=False)
    kinds = [entry["kind"] for entry in json.loads(said([str(given.attnlab), "list", "encodings", "--json"]))]
    for kind in given.encodings or []:
        if kind not in kinds:
            sys.exit(f"{kind} is not one of {', '.join(kinds)}")
    kinds = given.encodings or kinds
    step = lambda kind: run(attnlab(given.attnlab, "train", **SIZES[given.size], threads=given.threads, position=kind))
    results = {kind: [] for kind in kinds}
    for round_ in range(given.rounds):
        for kind, rounds in results.items():
            rounds.append(dict(rope=step("rope"), this=step(kind)))
            print(f"round {round_ + 1}: {kind} {rounds[-1]['this']['ms_per_step']:.1f} ms", file=sys.stderr)

    about = dict(
        machine=machine(), versions=versions(given.attnlab, None), rounds=given.rounds, size=given.size,
        threads=given.threads, results=results)
    ratio = lambda rounds, key: spread([pair["this"][key] / pair["rope"][key] for pair in rounds])
    lines = preface("A training step by encoding", about)
    lines += [
        f"Size {given.size}, threads {given.threads}. Times are over those of the RoPE step measured just before.", "",
        "| encoding | ms a step | time beside RoPE's | CPU time beside RoPE's | memory beside RoPE's | parameters |",
        "|---|---|---|---|---|---|"]
    for kind, rounds in results.items():
        lines.append(
            f"| {kind} | {shown(spread([pair['this']['ms_per_step'] for pair in rounds]))} | "
            f"**{shown(ratio(rounds, 'ms_per_step'))}** | {shown(ratio(rounds, 'ms_cpu_per_step'))} | "
            f"{shown(ratio(rounds, 'peak_rss_mib'))} | {rounds[0]['this']['params']} |")
    write(given.out, "encodings", about, lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
