"""The language-model engine: checkpoints in, text out."""

from weft.engine.engine import Engine
from weft.engine.request import Completion, Delta, Request
from weft.engine.sampling import Sampling
from weft.engine.template import ChatTemplate
from weft.engine.tokenizer import Tokenizer

__all__ = ["ChatTemplate", "Completion", "Delta", "Engine", "Request", "Sampling", "Tokenizer"]
