"""The language-model engine: checkpoints in, text out."""

from weft.engine.engine import Engine
from weft.engine.grammar import Constraint, Grammar, json_grammar, lark_grammar, regex_grammar
from weft.engine.request import Completion, Delta, Request
from weft.engine.sampling import Sampling
from weft.engine.scoring import Score
from weft.engine.template import ChatTemplate, Prompt
from weft.engine.tokenizer import Tokenizer

__all__ = [
    "ChatTemplate",
    "Completion",
    "Constraint",
    "Delta",
    "Engine",
    "Grammar",
    "Prompt",
    "Request",
    "Sampling",
    "Score",
    "Tokenizer",
    "json_grammar",
    "lark_grammar",
    "regex_grammar",
]
