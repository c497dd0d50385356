"""The language-model engine: checkpoints in, text out."""

from weft.engine.engine import Engine
from weft.engine.request import Completion, Delta, Request
from weft.engine.sampling import Sampling
from weft.engine.scoring import Score
from weft.engine.template import ChatTemplate, Prompt
from weft.engine.tokenizer import Tokenizer

__all__ = [
    "ChatTemplate",
    "Completion",
    "Delta",
    "Engine",
    "Prompt",
    "Request",
    "Sampling",
    "Score",
    "Tokenizer",
]
