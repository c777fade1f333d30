"""Training steps on a GPU beside the peers', and how much of the GPU's matrix rate they reach.

    benches/gpu.sh --step PROGRAM --model DIR --data DIR [--python PYTHON] [--device cuda:0]

The encoder has RoBERTa-base's size and random weights; `--model` gives its tokenizer. Texts are joined until they
are about as long as `--max-len`. Batch 64, bfloat16. Under eight minutes on an H100.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
LENGTHS = (128, 512)


def matrix_rate(device):
    """The rate of a bfloat16 product of 8192x8192 matrices, in FLOP/s."""
    import torch

    torch.cuda.set_device(device)
    a, b = (torch.randn(8192, 8192, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        a @ b
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(30):
        a @ b
    torch.cuda.synchronize()
    return 30 * 2 * 8192**3 / (time.perf_counter() - start)


def encoder(tokenizer_of, folder):
    """A folder with RoBERTa-base's measures and another's tokenizer."""
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        if (tokenizer_of / name).exists():
            shutil.copy(tokenizer_of / name, folder / name)
    theirs = json.loads((tokenizer_of / "config.json").read_text())
    config = {
        "model_type": theirs["model_type"], "architectures": ["BertForMaskedLM"], "hidden_size": 768,
        "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "hidden_act": "gelu",
        "vocab_size": theirs["vocab_size"], "max_position_embeddings": theirs["max_position_embeddings"],
        "type_vocab_size": theirs["type_vocab_size"], "pad_token_id": theirs.get("pad_token_id", 0),
        "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "layer_norm_eps": 1e-12,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return config


def joined(data, folder, words):
    """The texts of a folder, neighbours joined until they have so many words."""
    folder.mkdir()
    for name in ("train.jsonl", "dev.jsonl", "train.txt"):
        lines = [line for line in (data / name).read_text().splitlines() if line.strip()]
        records = [json.loads(line) if name.endswith("jsonl") else {"text": line} for line in lines]
        out = []
        for first in range(len(records)):
            text, at = records[first]["text"], first
            # A text is as long as it is, between a half and the whole.
            least = words * (0.5 + 0.5 * (first % 16) / 15)
            while len(text.split()) < least:
                at = (at + 1) % len(records)
                text += " " + records[at]["text"]
            out.append(json.dumps({**records[first], "text": text}) if name.endswith("jsonl") else text)
        (folder / name).write_text("\n".join(out) + "\n")


def flops(config, length, tokens, decoded):
    """Floating-point operations of a forward and a backward pass over real tokens: layers, attention (texts are
    between a half and the whole of the length, 0.78 of it where a token looks), and the decoder at 15% of what
    is masked."""
    hidden, layers, wide = config["hidden_size"], config["num_hidden_layers"], config["intermediate_size"]
    per_token = layers * (4 * hidden * hidden + 2 * hidden * wide)
    attention = layers * 2 * hidden * 0.78 * length
    return 6 * tokens * (per_token + attention) + 6 * decoded * 0.15 * config["vocab_size"] * hidden


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step", required=True)
    parser.add_argument("--model", required=True, type=pathlib.Path)
    parser.add_argument("--data", required=True, type=pathlib.Path)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--peer", help="another script for the steps, with `--mode` in place of the first word")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--steps", default="8")
    arguments = parser.parse_args()

    import torch

    libraries = pathlib.Path(torch.__file__).parent / "lib"
    environment = {**os.environ, "LD_LIBRARY_PATH": f"{libraries}:{os.environ.get('LD_LIBRARY_PATH', '')}"}
    rate = matrix_rate(arguments.device)
    print(f"{torch.cuda.get_device_name()}: a bf16 product of 8192x8192 at {rate / 1e12:.0f} TFLOP/s\n")
    print("| length | method | tartan | of the matrix rate | official | ratio | hf | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        config = encoder(arguments.model, folder / "encoder")
        for length in LENGTHS:
            data = folder / str(length)
            joined(arguments.data, data, length * 0.75)
            common = ["--model", str(folder / "encoder"), "--data", str(data), "--batch", "64", "--dev-batch", "32"]
            common += ["--max-len", str(length), "--steps", arguments.steps, "--device", arguments.device]
            common += ["--random-init", "--bf16"]

            def run(command):
                found = subprocess.run(command, env=environment, capture_output=True, text=True)
                if found.returncode != 0:
                    print(f"{' '.join(command)}\n{found.stderr[-2000:]}", file=sys.stderr)
                    return None
                print(found.stdout.strip().splitlines()[-1], file=sys.stderr, flush=True)
                return json.loads(found.stdout.strip().splitlines()[-1])

            def peer(mode, method):
                script = [arguments.peer, "--mode", mode] if arguments.peer else [str(HERE / "peer.py"), mode]
                return run([arguments.python, *script, "--method", method, *common])

            for method in ("mt", "meta"):
                ours = run([arguments.step, "--method", method, *common])
                official = peer("official", method)
                hf = peer("hf", method) if method == "mt" else None
                if ours is None:
                    print(f"| {length} | {method} | failed |")
                    continue
                # META-TARTAN's step passes over one batch more, the dev gradient's, and forward over the dev head's.
                tokens = ours["tokens_per_step"] * (1 if method == "mt" else 1.5 + 32 / 128 / 3)
                reached = flops(config, length, tokens, ours["tokens_per_step"] / 2) / ours["step_s"] / rate
                ratio = lambda other: f"{other['step_s'] / ours['step_s']:.2f}x" if other else "–"
                time_of = lambda other: f"{other['step_s']:.3f} s" if other else "–"
                print(
                    f"| {length} | {method} | {ours['step_s']:.3f} s | {100 * reached:.0f}% | {time_of(official)} "
                    f"| {ratio(official)} | {time_of(hf)} | {ratio(hf)} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
