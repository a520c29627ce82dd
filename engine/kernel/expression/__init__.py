"""Flowable's expression language: `${…}` and `#{…}`, parsed once, compiled to closures, evaluated many times.

It must not know processes, tasks or storage: whatever an expression can reach is a plain value or an `Exposed` object
that the `Context` hands out, and nothing else of Python can be reached.
"""

from engine.kernel.expression.context import Context, MappingContext
from engine.kernel.expression.errors import ExpressionError, ExpressionSyntaxError, UnknownName
from engine.kernel.expression.exposed import Exposed, Value
from engine.kernel.expression.functions import STANDARD_FUNCTIONS, Function
from engine.kernel.expression.template import Expression, parse

__all__ = [
    "STANDARD_FUNCTIONS",
    "Context",
    "Exposed",
    "Expression",
    "ExpressionError",
    "ExpressionSyntaxError",
    "Function",
    "MappingContext",
    "UnknownName",
    "Value",
    "parse",
]
