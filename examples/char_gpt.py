"""A small GPT is trained on the characters of Python's standard library, and then writes some Python.

    python -m examples.char_gpt
    python -m examples.char_gpt --device webgpu --steps 100

The text is on every machine that has Python. One in ten of its modules is the test set: its cross entropy falls below
2.0 nats per letter (guessing costs ln 97 = 4.57). The whole training is saved; a second model continues from the file,
and its losses must equal those of the first model, which continues without a break, to the last bit.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

import weft as wf
from examples.common import Options, draw_curve, fit, options
from weft import nn, optim

LETTERS = "\n\t" + "".join(map(chr, range(32, 127)))
BATCH, LENGTH, WIDTH, HEADS, LAYERS = 16, 64, 128, 4, 2
CONTINUED = 10
"""Steps that are taken twice: by the first model, and by the model loaded from the file."""
F = nn.functional


class Block(nn.Module):
    """A transformer block: causal attention, then a perceptron for each letter, each with a residual connection."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.project, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.widen, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: wf.Tensor) -> wf.Tensor:
        """Return the vectors [B, T, D] of the letters."""
        B, T, D = x.shape
        parts = self.project(self.norm1(x)).reshape(B, T, 3, HEADS, D // HEADS)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)  # each B, heads, T, D / heads
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(B, T, D))
        wider: wf.Tensor = self.narrow(F.gelu(self.widen(self.norm2(x))))
        return x + wider


class Gpt(nn.Module):
    """A decoder-only transformer: from letters [B, T] to the logits [B, T, 97] of the next letters."""

    def __init__(self) -> None:
        super().__init__()
        self.letter, self.place = nn.Embedding(len(LETTERS), WIDTH), nn.Embedding(LENGTH, WIDTH)
        nn.init.normal_(self.letter.weight, std=0.02)
        nn.init.normal_(self.place.weight, std=0.02)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, len(LETTERS))

    def forward(self, letters: wf.Tensor) -> wf.Tensor:
        """Return the logits."""
        x = self.letter(letters) + self.place.weight[: letters.shape[1]]
        logits: wf.Tensor = self.head(self.norm(self.blocks(x)))
        return logits

    def loss(self, text: wf.Tensor, starts: wf.Tensor) -> wf.Tensor:
        """Return the mean cross entropy per letter in nats over pieces of the text [letters] at ``starts`` [B, 1]."""
        pieces = text[starts + wf.arange(LENGTH + 1)]
        return F.cross_entropy(self(pieces[:, :-1]).flatten(0, 1), pieces[:, 1:].flatten())


class Training:
    """A model, its optimizer and schedule, and its training step: all that a checkpoint must restore."""

    def __init__(self, text: wf.Tensor, options: Options) -> None:
        self.model = Gpt()
        self.optimizer = optim.AdamW(self.model.parameters(), lr=3e-3, betas=(0.9, 0.99), weight_decay=0.1)
        self.schedule = optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            max_lr=3e-3,
            total_steps=options.steps + CONTINUED + 1,
            pct_start=0.1,
            cycle_momentum=False,
        )

        @options.compiled
        def step() -> wf.Tensor:
            loss = self.model.loss(text, wf.randint(0, len(text) - LENGTH, (BATCH, 1)))
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.schedule.step()
            return loss

        self.step: Callable[[], wf.Tensor] = step

    @property
    def parts(self) -> dict[str, Any]:
        """The objects that have a state."""
        return {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule}

    def continued(self) -> list[float]:
        """Take a few more steps and return their losses."""
        return [loss.item() for loss in [self.step() for _ in range(CONTINUED)]]


def load_text() -> tuple[wf.Tensor, wf.Tensor]:
    """Return the modules of the standard library as indices of letters: nine in ten for training, the rest for tests.

    Four spaces are one letter, so that indentation does not fill the model's context.
    """
    modules = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    number = np.full(256, 255, np.uint8)
    number[np.frombuffer(LETTERS.encode(), np.uint8)] = np.arange(len(LETTERS))
    texts = [
        number[np.frombuffer(module.read_bytes().replace(b"    ", b"\t"), np.uint8)] for module in modules
    ]
    texts = [text[text < len(LETTERS)].astype(np.int32) for text in texts]  # other letters are dropped
    test = texts[::10]
    train = [text for at, text in enumerate(texts) if at % 10]
    return wf.tensor(np.concatenate(train)), wf.tensor(np.concatenate(test))


def evaluate(model: Gpt, text: wf.Tensor, options: Options) -> float:
    """Return the mean cross entropy per letter over 512 evenly spaced pieces of the text."""
    starts = np.linspace(0, len(text) - LENGTH - 1, 512).astype(np.int64).reshape(-1, BATCH, 1)

    @options.compiled
    @wf.no_grad()
    def cost(starts: wf.Tensor) -> wf.Tensor:
        return model.loss(text, starts)

    return wf.stack([cost(wf.tensor(some)) for some in starts]).mean().item()


def write(model: Gpt, prompt: str, count: int, options: Options) -> str:
    """Return the prompt and ``count`` letters, each sampled by the model from the letters before it."""

    @options.compiled
    @wf.no_grad()
    def following(letters: wf.Tensor, temperature: float) -> wf.Tensor:
        logits = model(letters)[:, -1] / temperature
        noise = -(
            -wf.rand(1, len(LETTERS)).log()
        ).log()  # the largest of logits plus Gumbel noise is a sample of the softmax
        drawn = (logits + noise).argmax(1, keepdim=True)
        return wf.cat([letters[:, 1:], drawn], dim=1)

    letters = wf.tensor([[LETTERS.index(letter) for letter in prompt.rjust(LENGTH, "\n")]])
    written = []
    for _ in tqdm(range(count), desc="writing", unit="letter", disable=None):
        letters = following(letters, 0.6)
        written.append(letters[0, -1].item())
    return (prompt + "".join(LETTERS[number] for number in written)).replace("\t", "    ")


def main() -> None:
    """Train, draw the curve, write, save and continue; the last line is the test cross entropy per letter."""
    chosen = options("char_gpt", __doc__, steps=1000, short=60)
    train, test = load_text()
    first = Training(train, chosen)
    count = sum(parameter.numel() for parameter in first.model.parameters())
    print(
        f"{len(train):,} letters to train on, {len(test):,} to test; {count:,} parameters on {train.device}"
    )

    losses = fit(first.step, chosen.steps)
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    draw_curve(figure.subplots(), losses, "nats a letter")
    chosen.save(figure, "curve.png")
    cost = evaluate(first.model, test, chosen)
    print(f"\n{write(first.model, 'def ', 60 if chosen.short else 400, chosen)}\n")

    checkpoint = chosen.output / "checkpoint.mt"
    wf.io.save_training(checkpoint, step=chosen.steps, **first.parts)
    expected = first.continued()
    second = Training(train, chosen)
    wf.io.load_training(checkpoint, **second.parts)
    if second.continued() != expected:
        raise RuntimeError(
            "the model that continues from the checkpoint has other losses than the one that was saved"
        )
    print(
        f"checkpoint: {checkpoint}; a second model that loads it takes the next {CONTINUED} steps with the same "
        f"losses to the last bit"
    )
    print(f"nats a test letter: {cost:.3f}")


if __name__ == "__main__":
    main()
