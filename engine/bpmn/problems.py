"""A model that cannot be deployed, with everything that is wrong with it."""

from collections.abc import Sequence

from engine.kernel.reading import Problem

SHOWN_PROBLEMS = 20


class InvalidModel(Exception):
    """Why a resource is refused: each problem names line, element and what was expected."""

    def __init__(self, resource: str, problems: Sequence[Problem]) -> None:
        shown = "; ".join(str(problem) for problem in problems[:SHOWN_PROBLEMS])
        rest = len(problems) - SHOWN_PROBLEMS
        super().__init__(f"{resource}: {shown}" + (f"; and {rest} more" if rest > 0 else ""))
        self.resource = resource
        self.problems = tuple(problems)
