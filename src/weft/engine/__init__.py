"""The language-model engine: checkpoints in, text out."""

from weft.engine.engine import Completion, Engine
from weft.engine.sampling import Sampling
from weft.engine.template import ChatTemplate
from weft.engine.tokenizer import Tokenizer

__all__ = ["ChatTemplate", "Completion", "Engine", "Sampling", "Tokenizer"]
