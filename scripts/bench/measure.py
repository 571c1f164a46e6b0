"""What the benchmark scripts share: starting programs, describing the machine, summing up. Standard library only."""
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BASELINE = HERE / "pytorch_baseline.py"

# The sizes by name: options of `attnlab bench train` and of the baseline alike.
SIZES = {
    "S": dict(d_model=64, layers=2, heads=4, seq_len=64, batch=64, vocab=256, steps=30, warmup=5),
    "M": dict(d_model=128, layers=4, heads=8, seq_len=128, batch=32, vocab=256, steps=12, warmup=3),
    "L": dict(d_model=256, layers=6, heads=8, seq_len=256, batch=16, vocab=256, steps=6, warmup=2),
    "long": dict(d_model=128, layers=2, heads=4, seq_len=2048, batch=2, vocab=256, steps=8, warmup=2),
}

# Threads are given as options; what a shell has set must not overrule them.
THREAD_VARIABLES = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "CANDLE_NUM_THREADS", "RAYON_NUM_THREADS"]


def environment(**more):
    found = {name: value for name, value in os.environ.items() if name not in THREAD_VARIABLES}
    # Compilers that are still at work would be measured too.
    return found | {"TORCHINDUCTOR_COMPILE_THREADS": "1"} | more


def options(**values):
    """`d_model=64, bias=True` as `--d-model 64 --bias`."""
    words = []
    for name, value in values.items():
        flag = "--" + name.replace("_", "-")
        words += [flag] if value is True else [] if value is False else [flag, str(value)]
    return words


def attnlab(program, verb, **values):
    return [str(program), "bench", verb, *options(**values)]


def torch(python, **values):
    return [str(python), str(BASELINE), *options(**values)]


def start(command, **more):
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(**more))


def finish(process):
    """The JSON object that the program prints last."""
    out, _ = process.communicate()
    if process.returncode != 0:
        sys.exit(f"{' '.join(map(str, process.args))} ended with {process.returncode}")
    return json.loads(out.strip().splitlines()[-1])


def run(command, **more):
    return finish(start(command, **more))


def spread(values):
    """Median, least and most of what each round gave."""
    return dict(median=statistics.median(values), min=min(values), max=max(values), rounds=list(values))


def shown(value, digits=None):
    """`median (least–most)`, to about three digits."""
    if digits is None:
        digits = 0 if value["median"] >= 100 else 1 if value["median"] >= 10 else 2
    median, least, most = (f"{value[key]:.{digits}f}" for key in ("median", "min", "max"))
    return f"{median} ({least}–{most})"


def said(command):
    """What a program prints, or nothing if it cannot be asked."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment())
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def machine():
    flags, name = set(), platform.processor()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("flags", "Features"):
                flags = set(value.split())
            elif key.strip() == "model name":
                name = value.strip()
    except OSError:
        name = said(["sysctl", "-n", "machdep.cpu.brand_string"]) or name
    known = ["sse4_2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "amx_tile", "asimd", "sve"]
    load = [round(x, 2) for x in os.getloadavg()]
    return dict(
        cpu=name, cores=os.cpu_count(), instruction_sets=[flag for flag in known if flag in flags],
        system=f"{platform.system()} {platform.release()} {platform.machine()}", load_before=load)


# A step of a model of sixteen weights: what PyTorch holds whatever is trained.
ASK_TORCH = """
import json, resource, torch
model = torch.nn.Linear(4, 4, bias=False)
optimizer = torch.optim.AdamW(model.parameters(), fused=True)
model(torch.ones(2, 4)).sum().backward()
optimizer.step()
rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([torch.__version__, torch.backends.cpu.get_cpu_capability(), round(rss)]))
"""


def versions(program, python):
    answer = said([str(python), "-c", ASK_TORCH]) if python else ""
    version, instruction_set, rss = json.loads(answer) if answer else (None, None, None)
    changed = bool(said(["git", "status", "--porcelain", "--untracked-files=no"]))
    commit = said(["git", "rev-parse", "--short=12", "HEAD"]) + (" with changes" if changed else "")
    return dict(
        attnlab=said([str(program), "--version"]), commit=commit, rustc=said(["rustc", "--version"]), torch=version,
        torch_instruction_set=instruction_set, torch_rss_mib=rss, python=platform.python_version())


def command():
    """How this script was started, without where things lie on this machine."""
    words, skip = [f"scripts/bench/{Path(sys.argv[0]).name}"], False
    for word in sys.argv[1:]:
        place = word.partition("=")[0] in ("--attnlab", "--python", "--out")
        if not place and not skip:
            words.append(word)
        skip = place and "=" not in word
    return shlex.join(words)


def preface(title, about):
    """The first lines of a results page: what was measured, with what, on what."""
    seen, has = about["versions"], about["machine"]
    lines = [
        f"# {title}", "",
        f"Made by `{command()}`, {about['rounds']} rounds, interleaved. Median over rounds, and the least and the most.", "",
        f"- {has['cpu']}, {has['cores']} cores, {' '.join(has['instruction_sets'])}; {has['system']}; "
        f"load before: {has['load_before'][0]}",
        f"- {seen['attnlab']}, measured from a tree at {seen['commit'] or 'no commit'}, {seen['rustc']}",
    ]
    if seen["torch"]:
        lines.append(
            f"- PyTorch {seen['torch']}, which chose {seen['torch_instruction_set']} and holds {seen['torch_rss_mib']} MiB "
            "once it has trained a model of sixteen weights")
    return lines + [""]


def write(folder, name, about, lines):
    """Both files, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, text in ((".json", json.dumps(about, indent=1) + "\n"), (".md", "\n".join(lines) + "\n")):
        new = folder / f".{name}{suffix}.new"
        new.write_text(text)
        new.replace(folder / f"{name}{suffix}")


def arguments(parser, rounds=5, python=True):
    """The options that all scripts share."""
    parser.add_argument("--attnlab", type=Path, default=ROOT / "target/release/attnlab", help="the program, built for release")
    if python:
        parser.add_argument("--python", type=Path, default=Path(sys.executable), help="a Python that has torch")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--out", type=Path, default=ROOT / "docs/results/performance", metavar="DIR")
    given = parser.parse_args()
    if not given.attnlab.exists():
        sys.exit(f"{given.attnlab} is not there; build it with: cargo build --release")
    if given.rounds < 1:
        sys.exit("--rounds must be at least 1")
    if os.getloadavg()[0] > 0.5:
        # OpenMP's threads spin for each other: a PyTorch step of two threads takes several times as long beside a build.
        print("warning: something else runs here; results of two threads will mean nothing", file=sys.stderr)
    if python and not said([str(given.python), "-c", "import torch; print(1)"]):
        sys.exit(f"{given.python} has no torch; install it there or name another with --python")
    return given
