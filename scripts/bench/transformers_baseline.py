#!/usr/bin/env python3
"""Hugging Face transformers looking at a model folder, f32 on the CPU: one process, one JSON line.

    transformers_baseline.py --model DIR --tokens-file FILE --what maps --threads 2

`maps` is a forward pass with eager attention and output_attentions=True, which hands over all heads' maps at once;
`forward` is the same pass with SDPA and no maps.
"""
import argparse
import json
import resource
import time
from pathlib import Path


def rss_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--tokens-file", type=Path, required=True, help="token ids, comma-separated")
    parser.add_argument("--what", choices=["maps", "forward"], required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1, help="passes after the first one")
    given = parser.parse_args()

    began = time.perf_counter()
    import torch
    import transformers

    torch.set_num_threads(given.threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    imported, imported_rss = time.perf_counter(), rss_mib()
    attention = "eager" if given.what == "maps" else "sdpa"
    config = transformers.AutoConfig.from_pretrained(given.model)
    causal = any(name.endswith("ForCausalLM") or name.endswith("LMHeadModel") for name in config.architectures or [])
    kind = transformers.AutoModelForCausalLM if causal else transformers.AutoModel
    model = kind.from_pretrained(given.model, attn_implementation=attention, dtype=torch.float32).eval()
    loaded, loaded_rss = time.perf_counter(), rss_mib()

    ids = torch.tensor([[int(word) for word in given.tokens_file.read_text().split(",")]])
    seconds = []
    with torch.inference_mode():
        for _ in range(1 + given.repeats):
            start = time.perf_counter()
            # No cache: nothing is generated, and attnlab keeps none either.
            out = model(input_ids=ids, output_attentions=given.what == "maps", use_cache=False)
            seconds.append(time.perf_counter() - start)
            maps = sum(one.numel() * one.element_size() for one in out.attentions) if given.what == "maps" else 0
            del out
    print(json.dumps(dict(
        import_s=imported - began, load_s=loaded - imported, first_pass_s=seconds[0], pass_s=min(seconds[1:] or seconds),
        import_rss_mib=imported_rss, loaded_rss_mib=loaded_rss, peak_rss_mib=rss_mib(), maps_mib=maps / 2**20,
        tokens=ids.shape[1], torch=torch.__version__, transformers=transformers.__version__)))


if __name__ == "__main__":
    main()
