"""``patterns``: replace groups of nodes by a single op with a kernel of its own.

Each file has the rules of one pattern, by the op of the pattern's last node. Results agree up to rounding: sums may be
taken in another order, and a quotient may become a product with an inverse. A group is replaced only where no other
node reads its intermediate values.
"""

from __future__ import annotations

from collections.abc import Sequence

from weft.graph.ir import Graph
from weft.graph.passes.patterns import attention, losses, norm, pieces, products, softmax
from weft.graph.passes.rewrite import Rule, rewritten
from weft.ops import OpSpec

FAMILIES = (losses, softmax, norm, attention, products, pieces)
RULES: dict[str, tuple[Rule, ...]] = {}
for _family in FAMILIES:
    for _root, _rules in _family.RULES.items():
        RULES[_root] = (*RULES.get(_root, ()), *_rules)


def patterns(graph: Graph) -> Graph:
    """Return the graph with known groups of nodes replaced by single ops.

    >>> import weft as wf
    >>> def softmax(x):
    ...     powers = (x - x.amax(-1, keepdim=True)).exp()
    ...     return powers / powers.sum(-1, keepdim=True)
    >>> from weft.graph.passes.dce import dce
    >>> [node.op for node in dce(patterns(wf.compiler.trace(softmax, wf.ones(2, 3)).graph)).nodes]
    ['softmax']
    """
    return rewritten(graph, _rules_of)


def _rules_of(op: OpSpec) -> Sequence[Rule]:
    return RULES.get(op.name, ())
