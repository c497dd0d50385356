"""Plans by themselves: compiled calls that report what they do, and are saved and loaded without Python's source.

``compiled`` is the plan that users hold. ``saving`` and ``loading`` take it to a directory and back: ``graphs``,
``calls`` and ``values`` are its parts as JSON, ``fields`` reads JSON and names its mistakes, ``directory`` writes whole
or not at all. ``report`` and ``timing`` say what a call costs, ``looking`` of a saved plan without its device.
"""

from weft.compiler.plans.compiled import CompiledPlan
from weft.compiler.plans.loading import load_plan
from weft.compiler.plans.looking import SavedPlan, read_plan
from weft.compiler.plans.report import DispatchRow, PlanReport
from weft.compiler.plans.timing import PlanProfile

__all__ = ["CompiledPlan", "DispatchRow", "PlanProfile", "PlanReport", "SavedPlan", "load_plan", "read_plan"]
