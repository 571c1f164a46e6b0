#!/usr/bin/env python3
"""Makes assets/demo of a finished run: its newest checkpoint in f16, and its configuration.

    python3 scripts/demo/pack.py runs/demo/RUN-ID
"""
import argparse
import json
import shutil
import struct
from pathlib import Path


def halved(data):
    """A safetensors file of f32 tensors, in f16."""
    (length,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8:8 + length]), data[8 + length:]
    out, at = bytearray(), {}
    for key in sorted(key for key in header if key != "__metadata__"):
        entry = header[key]
        if entry["dtype"] != "F32":
            raise SystemExit(f"{key} is {entry['dtype']}, not F32")
        begin, end = entry["data_offsets"]
        numbers = struct.unpack(f"<{(end - begin) // 4}f", body[begin:end])
        start = len(out)
        out += struct.pack(f"<{len(numbers)}e", *numbers)
        at[key] = dict(dtype="F16", shape=entry["shape"], data_offsets=[start, len(out)])
    told = json.dumps(at, separators=(",", ":")).encode()
    told += b" " * (-len(told) % 8)  # so that the tensors are aligned
    return struct.pack("<Q", len(told)) + told + out


def main():
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=root / "assets/demo", metavar="DIR")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    newest = max((given.run / "checkpoints").glob("step-*"))
    (given.out / "model.safetensors").write_bytes(halved((newest / "model.safetensors").read_bytes()))
    shutil.copyfile(given.run / "config.toml", given.out / "config.toml")


if __name__ == "__main__":
    main()
