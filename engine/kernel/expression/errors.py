"""What can go wrong in an expression.

ExpressionError            evaluation failed
├── ExpressionSyntaxError  the text is not an expression; found when parsing, so at deployment
└── UnknownName            the context has no root of that name
"""

from typing import Self


class ExpressionError(Exception):
    """An expression that cannot be evaluated.

    `message` says what was expected and what was found, `text` is the whole source text, `position` the offset in it
    (in characters, from 0). Operations raise it without a place; the compiled node that called them adds its own.
    """

    def __init__(self, message: str, text: str | None = None, position: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.text = text
        self.position = position

    def at(self, text: str, position: int) -> Self:
        """The same error with its place; the innermost place wins."""
        if self.text is None:
            self.text = text
            self.position = position
        return self

    def __str__(self) -> str:
        return self.message if self.text is None else f"{self.message}, at {self.position} of {self.text!r}"


class ExpressionSyntaxError(ExpressionError):
    """A text that is not an expression, or one that exceeds a limit before it is run."""


class UnknownName(ExpressionError):
    """A root name that neither a variable nor an exposed object answers to. Raised by `Context.resolve`."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"unknown property used in expression: expected a variable or an object named {name!r}, found none"
        )
        self.name = name
