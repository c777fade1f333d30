"""What others do of the same work, on the same texts: what `run.sh` sets `tartan` beside.

    official    a step as the paper's public code computes it: full-vocabulary logits, pads computed and
                attended to, one gradient an objective kept, the dev head refitted through the whole encoder
    hf          a step of MT-TARTAN as a careful user of `transformers` writes it: masks, SDPA, fused AdamW
    evaluate    predictions with `transformers`, batches in file order, padded to their longest
    tokenize    `datasets.map(batched=True, num_proc=2)` with the fast tokenizer

Prints a line of JSON. Needs torch 2.11, transformers and datasets.
"""

import argparse
import json
import os
import resource
import statistics
import time


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["official", "hf", "evaluate", "tokenize"])
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--method", choices=["mt", "meta"], default="mt")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--dev-batch", type=int, default=32)
    parser.add_argument("--accum", type=int, default=1)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--max-len", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--random-init", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


ARGS = arguments()
os.environ["TOKENIZERS_PARALLELISM"] = "true" if ARGS.what != "tokenize" else "false"

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoTokenizer  # noqa: E402


def records(name):
    with open(os.path.join(ARGS.data, name), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def say(**found):
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) // 1024
    print(json.dumps({"mode": ARGS.what, "method": ARGS.method, "rss_mb": peak, **found}))


class Head(nn.Module):
    def __init__(self, hidden, classes):
        super().__init__()
        self.dense, self.out_proj, self.dropout = nn.Linear(hidden, hidden), nn.Linear(hidden, classes), nn.Dropout(0.1)

    def forward(self, first):
        return self.out_proj(self.dropout(torch.tanh(self.dense(self.dropout(first)))))


class Texts:
    """Tokenised texts, taken in a random order without end."""

    def __init__(self, ids, labels, pad):
        self.ids, self.labels, self.pad, self.left = ids, labels, pad, []

    def take(self, count):
        chosen = []
        while len(chosen) < count:
            self.left = self.left or torch.randperm(len(self.ids)).tolist()
            chosen.append(self.left.pop())
        rows = nn.utils.rnn.pad_sequence([self.ids[i] for i in chosen], True, self.pad).to(ARGS.device)
        return rows, torch.tensor([self.labels[i] for i in chosen], device=ARGS.device)


class Work:
    """The encoder, heads, optimisers and texts of a run."""

    def __init__(self):
        torch.manual_seed(0)
        self.tokenizer = AutoTokenizer.from_pretrained(ARGS.model)
        attention = {"attn_implementation": "sdpa" if ARGS.what == "hf" else "eager"}
        if ARGS.random_init:
            self.model = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(ARGS.model), **attention)
        else:
            self.model = AutoModelForMaskedLM.from_pretrained(ARGS.model, **attention)
        self.model = self.model.to(ARGS.device).float().train()
        self.body = getattr(self.model, self.model.base_model_prefix)
        train, dev = records("train.jsonl"), records("dev.jsonl")
        names = sorted({record["label"] for record in train})
        self.train, self.dev = (self.texts([r["text"] for r in of], [names.index(r["label"]) for r in of]) for of in (train, dev))
        with open(os.path.join(ARGS.data, "train.txt"), encoding="utf-8") as file:
            lines = [line for line in file if line.strip()]
        self.lines = self.texts(lines, [0] * len(lines))
        self.new_head = lambda: Head(self.model.config.hidden_size, len(names)).to(ARGS.device)
        self.head = self.new_head()
        fused = {"fused": ARGS.what == "hf"}
        self.optimisers = [
            torch.optim.AdamW(self.model.parameters(), lr=1e-4, weight_decay=0.01, **fused),
            torch.optim.AdamW(self.head.parameters(), lr=1e-3, weight_decay=0.1, **fused),
        ]
        self.logits = torch.full((2,), 0.5)

    def texts(self, texts, labels):
        ids = self.tokenizer(texts, truncation=True, max_length=ARGS.max_len)["input_ids"]
        return Texts([torch.tensor(row) for row in ids], labels, self.tokenizer.pad_token_id)

    def mask_of(self, ids):
        return ids.ne(self.tokenizer.pad_token_id).long() if ARGS.what == "hf" else None

    def precision(self):
        return torch.autocast(ARGS.device.split(":")[0], dtype=torch.bfloat16, enabled=ARGS.bf16)

    def classify(self, head, ids, labels):
        with self.precision():
            hidden = self.body(ids, attention_mask=self.mask_of(ids)).last_hidden_state
            return functional.cross_entropy(head(hidden[:, 0]).float(), labels)

    def mlm(self, ids):
        special = torch.isin(ids, torch.tensor(self.tokenizer.all_special_ids, device=ids.device))
        chosen = (torch.rand(ids.shape, device=ids.device) < 0.15) & ~special
        kind = torch.rand(ids.shape, device=ids.device)
        read = ids.masked_fill(chosen & (kind < 0.8), self.tokenizer.mask_token_id)
        anything = torch.randint_like(ids, len(self.tokenizer))
        read = torch.where(chosen & (kind >= 0.8) & (kind < 0.9), anything, read)
        with self.precision():
            return self.model(read, attention_mask=self.mask_of(ids), labels=ids.masked_fill(~chosen, -100)).loss

    def gradients(self, loss, parameters):
        return torch.autograd.grad(loss, parameters, allow_unused=True)

    def mt(self):
        for _ in range(ARGS.accum):
            (self.mlm(self.lines.take(ARGS.batch)[0]) * (0.5 / ARGS.accum)).backward()
            (self.classify(self.head, *self.train.take(ARGS.batch)) * (0.5 / ARGS.accum)).backward()

    def meta(self):
        body, model, head = list(self.body.parameters()), list(self.model.parameters()), list(self.head.parameters())
        weights, similarities, dev_head = torch.softmax(self.logits, 0), torch.zeros(2), None
        for _ in range(ARGS.accum):
            found = []
            for index, parameters in enumerate([model, body + head]):
                ids, labels = (self.lines if index == 0 else self.train).take(ARGS.batch)
                loss = self.mlm(ids) if index == 0 else self.classify(self.head, ids, labels)
                gradients = dict(zip(map(id, parameters), self.gradients(loss, parameters)))
                found.append([gradients.get(id(parameter)) for parameter in body])
                for parameter in parameters:
                    if gradients[id(parameter)] is not None:
                        share = gradients[id(parameter)] * (weights[index].item() / ARGS.accum)
                        parameter.grad = share if parameter.grad is None else parameter.grad.add_(share)
            if dev_head is None:
                dev_head = self.new_head()
                fit = torch.optim.AdamW(dev_head.parameters(), lr=1e-3, weight_decay=0.1)
                ids, labels = self.dev.take(ARGS.dev_batch)
                before = float("inf")
                for _ in range(10):
                    loss = self.classify(dev_head, ids, labels)
                    for parameter, gradient in zip(dev_head.parameters(), self.gradients(loss, list(dev_head.parameters()))):
                        parameter.grad = gradient
                    fit.step()
                    if abs(loss.item() - before) < 1e-3:
                        break
                    before = loss.item()
            of_dev = self.gradients(self.classify(dev_head, *self.dev.take(ARGS.batch)), body)
            dot = lambda a, b: sum((x * y).sum().item() for x, y in zip(a, b) if x is not None and y is not None)
            dev_norm = dot(of_dev, of_dev)
            for index, gradient in enumerate(found):
                norms = (dev_norm * dot(gradient, gradient)) ** 0.5
                similarities[index] += dot(of_dev, gradient) / norms / ARGS.accum
        self.logits += 1e-2 * similarities

    def step(self):
        getattr(self, ARGS.method)()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        nn.utils.clip_grad_norm_(self.head.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad()


def steps():
    work, seconds = Work(), []
    for step in range(ARGS.steps + 2):
        start = time.perf_counter()
        work.step()
        if ARGS.device != "cpu":
            torch.cuda.synchronize()
        if step >= 2:
            seconds.append(time.perf_counter() - start)
    say(step_s=round(statistics.median(seconds), 4))


def evaluate():
    tokenizer = AutoTokenizer.from_pretrained(ARGS.model)
    body = AutoModel.from_pretrained(ARGS.model, attn_implementation="sdpa").to(ARGS.device).eval()
    head = Head(body.config.hidden_size, 6).to(ARGS.device).eval()
    ids = tokenizer([r["text"] for r in records("train.jsonl")], truncation=True, max_length=ARGS.max_len)["input_ids"]
    seconds = []
    for _ in range(ARGS.rounds):
        start = time.perf_counter()
        with torch.no_grad():
            for at in range(0, len(ids), ARGS.batch):
                batch = tokenizer.pad({"input_ids": ids[at : at + ARGS.batch]}, return_tensors="pt").to(ARGS.device)
                head(body(**batch).last_hidden_state[:, 0]).softmax(-1).cpu()
        seconds.append(time.perf_counter() - start)
    found = statistics.median(seconds)
    say(seconds=round(found, 4), texts_per_s=round(len(ids) / found, 2))


def tokenize():
    import datasets

    datasets.disable_progress_bars()
    datasets.disable_caching()
    tokenizer = AutoTokenizer.from_pretrained(ARGS.model)
    words = [record["text"].split(" ") for record in records("train.jsonl")]
    # As step.rs has them: no two alike.
    moved = ((of, index // len(words) % len(of)) for index in range(20_000) for of in [words[index % len(words)]])
    texts = [" ".join(of[by:] + of[:by]) for of, by in moved]
    data = datasets.Dataset.from_dict({"text": texts})
    seconds = []
    for _ in range(ARGS.rounds):
        start = time.perf_counter()
        data.map(lambda rows: tokenizer(rows["text"], truncation=True, max_length=ARGS.max_len), batched=True, num_proc=ARGS.threads)
        seconds.append(time.perf_counter() - start)
    found = statistics.median(seconds)
    say(seconds=round(found, 4), texts_per_s=round(len(texts) / found, 2))


if __name__ == "__main__":
    torch.set_num_threads(ARGS.threads)
    if ARGS.device != "cpu":
        torch.cuda.set_device(ARGS.device)
    {"official": steps, "hf": steps, "evaluate": evaluate, "tokenize": tokenize}[ARGS.what]()
