#!/usr/bin/env python3
"""What each head of the demo model does, by a forward pass of its own in NumPy: a check from outside of `attnlab`.

    python3 scripts/demo/measure.py assets/demo

takes a folder with config.toml and model.safetensors (a checkpoint's folder may be given beside a run's config with
--config) and prints, for every head,

- induction: on `<bos>` and a random string of N tokens written twice, the mean weight of the second copy's queries
  i on the token after their first occurrence, i − N + 1;
- first, random: the mean weight on `<bos>` of the first copy's queries, for which there is nothing to look up;
- previous: the mean weight on i − 1, of texts of T tokens, over queries from 2 on;
- first: the mean weight on `<bos>` of the same texts, over queries from 1 on, beside what uniform attention would have.

and the loss per token. `--sample` writes a continuation.
"""
import argparse
import json
import re
import struct
import sys
import tomllib
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from corpus import FOLDED, TOKENS, WORDS, Chance, facts, merged, novel, story

BOS = TOKENS


def tensors(path):
    """The tensors of a safetensors file, as f64."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    kinds = dict(F32=np.float32, F16=np.float16)
    out = {}
    for key, entry in json.loads(data[8:8 + length]).items():
        if key != "__metadata__":
            start, end = entry["data_offsets"]
            raw = np.frombuffer(data[8 + length + start:8 + length + end], kinds[entry["dtype"]])
            out[key] = raw.reshape(entry["shape"]).astype(np.float64)
    return out


class Model:
    def __init__(self, config, weights):
        told = tomllib.loads(config.read_text())
        self.m, self.p = told["model"], told["position"]
        self.w = tensors(weights)
        wanted = dict(residual="sequential", norm_placement="pre", null_option="none")
        wanted |= dict(qk_norm=False, embedding_norm=False)
        wrong = {key: self.m[key] for key, value in wanted.items() if self.m[key] != value}
        if wrong or self.p["kind"] != "rope" or self.p["layout"] != "half" or self.m["mlp"] not in ("gelu", "swiglu"):
            sys.exit(f"this script does not know such a model: {wrong or self.p}, {self.m['mlp']}")

    def linear(self, x, key):
        y = x @ self.w[f"{key}.weight"].T
        return y + self.w[f"{key}.bias"] if f"{key}.bias" in self.w else y

    def norm(self, x, key):
        if self.m["norm"] == "none":
            return x
        if self.m["norm"] == "layer":
            x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.m["norm_eps"]) * self.w[f"{key}.weight"]
        return x + self.w.get(f"{key}.bias", 0.0)

    def turned(self, x):
        *_, T, K = x.shape
        R = int(self.p["fraction"] * K + 1e-9)
        angle = np.arange(T)[:, None] * self.p["base"] ** (-2.0 * np.arange(R // 2) / R)
        a, b, rest = x[..., :R // 2], x[..., R // 2:R], x[..., R:]
        cos, sin = np.cos(angle), np.sin(angle)
        return np.concatenate([a * cos - b * sin, b * cos + a * sin, rest], -1)

    def forward(self, tokens):
        """Logits (T, V) and patterns (L, H, T, T)."""
        m, T = self.m, len(tokens)
        H, patterns = m["n_heads"], []
        G = m.get("n_kv_heads", H)
        heads = lambda x, n: x.reshape(T, n, -1).transpose(1, 0, 2)  # (n, T, K)
        x = self.w["embed.weight"][tokens] * m["embedding_scale"]
        for layer in range(m["n_layers"]):
            b = f"blocks.{layer}"
            read = self.norm(x, f"{b}.attn_norm")
            q = self.turned(heads(self.linear(read, f"{b}.attn.q"), H))
            k = self.turned(heads(self.linear(read, f"{b}.attn.k"), G)).repeat(H // G, 0)
            v = heads(self.linear(read, f"{b}.attn.v"), G).repeat(H // G, 0)
            s = q @ k.transpose(0, 2, 1) * m.get("attention_scale", q.shape[-1] ** -0.5)
            s = np.where(np.tril(np.ones((T, T), bool)), s, -np.inf)
            s = np.exp(s - s.max(-1, keepdims=True))
            s /= s.sum(-1, keepdims=True)
            patterns.append(s)
            x = x + self.linear((s @ v).transpose(1, 0, 2).reshape(T, -1), f"{b}.attn.o")
            read = self.norm(x, f"{b}.mlp_norm")
            up = self.linear(read, f"{b}.mlp.up")
            if m["mlp"] == "gelu":
                inner = 0.5 * up * (1 + np.tanh(np.sqrt(2 / np.pi) * (up + 0.044715 * up**3)))
            else:
                gate = self.linear(read, f"{b}.mlp.gate")
                inner = gate / (1 + np.exp(-gate)) * up
            x = x + self.linear(inner, f"{b}.mlp.down")
        x = self.norm(x, "final_norm")
        head = "embed" if m["tie_embeddings"] else "head"
        return self.linear(x, head), np.stack(patterns)


def losses(logits, tokens):
    logits = logits[:-1] - logits[:-1].max(-1, keepdims=True)
    return np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(tokens) - 1), tokens[1:]]


class Tokenizer:
    def __init__(self, path):
        told = json.loads(path.read_text())["model"]
        self.ids = told["vocab"]
        self.pieces = list(told["vocab"])[:BOS] + ["<bos>"]
        self.ranks = {tuple(pair): rank for rank, pair in enumerate(told["merges"])}

    def encode(self, text):
        """Ids, `<bos>` first."""
        for old, new in FOLDED.items():
            text = text.replace(old, new)
        ids = [BOS]
        for word in re.findall(WORDS, text):
            word = list(word)
            while pairs := [pair for pair in zip(word, word[1:]) if pair in self.ranks]:
                word = merged(word, min(pairs, key=self.ranks.get))
            ids += [self.ids.get(piece, self.ids["?"]) for piece in word]
        return ids


def texts(root, tokenizer, T, n):
    """Texts of T tokens, `<bos>` among them: new stories and facts, and the part of the novel that was held out."""
    chance = Chance(99)
    paragraphs = novel(root / "configs/data/pride_and_prejudice.txt")
    rest = paragraphs[len(paragraphs) * 9 // 10:]

    def cut(passages):
        tokens = tokenizer.encode("\n".join(passages))[1:]
        return [[BOS] + row for i in range(n) if len(row := tokens[i * (T - 1):(i + 1) * (T - 1)]) == T - 1]

    made = lambda one: cut([one(chance) for _ in range(max(4, n * T // 50))])
    return dict(stories=made(story), facts=made(facts), novel=cut(rest))


def table(columns, rows):
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(f"{x:.3f}" if isinstance(x, float) else str(x) for x in row) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--config", type=Path, help="default: config.toml in the folder")
    parser.add_argument("--tokenizer", type=Path, help="default: tokenizer.json in the folder")
    parser.add_argument("--length", type=int, default=128, help="T (default 128)")
    parser.add_argument("--repeat", type=int, default=50, help="N (default 50)")
    parser.add_argument("--samples", type=int, default=20, help="texts, and random strings (default 20)")
    parser.add_argument("--own", type=Path, help="measure on this text instead")
    parser.add_argument("--sample", metavar="PROMPT", help="write on after this")
    given = parser.parse_args()
    root = Path(__file__).resolve().parents[2]
    model = Model(given.config or given.folder / "config.toml", given.folder / "model.safetensors")

    tokenizer = Tokenizer(given.tokenizer or given.folder / "tokenizer.json")

    if given.sample is not None:
        chance, tokens = Chance(5), tokenizer.encode(given.sample)
        for _ in range(300):
            logits = model.forward(np.array([BOS, *tokens[1:][-127:]]))[0][-1] / 0.7
            weights = np.exp(logits - logits.max()).cumsum()
            tokens.append(int(np.searchsorted(weights, chance.below(10**9) / 1e9 * weights[-1])))
            if tokens[-1] == BOS:
                break
        print("".join(tokenizer.pieces[t] for t in tokens[1:]))
        return

    N, chance = given.repeat, Chance(7)
    second = np.arange(1 + N, 1 + 2 * N)
    repeated, resting, first_copy, second_copy = [], [], [], []
    for _ in range(given.samples):
        string = [chance.below(BOS) for _ in range(N)]
        logits, patterns = model.forward(np.array([BOS] + string + string))
        repeated.append(patterns[:, :, second, second - N + 1].mean(-1))
        resting.append(patterns[:, :, 1:N + 1, 0].mean(-1))
        loss = losses(logits, [BOS] + string + string)
        first_copy.append(loss[:N].mean())
        second_copy.append(loss[N + 1:].mean())
    columns = {"induction": np.mean(repeated, 0), "first, random": np.mean(resting, 0)}

    kinds = texts(root, tokenizer, given.length, given.samples)
    if given.own:
        kinds = dict(text=[tokenizer.encode(given.own.read_text())])
    scores, uniform = {}, {}
    for kind, rows in kinds.items():
        previous, first, loss = [], [], []
        for tokens in rows:
            logits, patterns = model.forward(np.array(tokens))
            i = np.arange(2, len(tokens))
            previous.append(patterns[:, :, i, i - 1].mean(-1))
            first.append(patterns[:, :, 1:, 0].mean(-1))
            uniform[kind] = (1 / np.arange(2, len(tokens) + 1)).mean()
            loss.append(losses(logits, tokens).mean())
        scores[kind] = np.mean(loss)
        columns[f"previous, {kind}"], columns[f"first, {kind}"] = np.mean(previous, 0), np.mean(first, 0)
    L, H = columns["induction"].shape
    row = lambda l, h: [f"L{l}H{h}", *(float(c[l, h]) for c in columns.values())]
    table(["head", *columns], [row(l, h) for l in range(L) for h in range(H)])
    print(f"\nUniform attention on the first token: {', '.join(f'{u:.3f} ({k})' for k, u in uniform.items())}")
    print(f"Loss in nats a token: {', '.join(f'{s:.3f} ({k})' for k, s in scores.items())}")
    print(f"Random string of {N}: {np.mean(first_copy):.3f} in its first copy, {np.mean(second_copy):.3f} in its second")


if __name__ == "__main__":
    main()
