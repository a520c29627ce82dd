"""Words of an expression: from behind its `${` to the `}` that closes it."""

import re
from dataclasses import dataclass
from enum import Enum
from math import isfinite
from typing import Final

from engine.kernel.expression.errors import ExpressionSyntaxError
from engine.kernel.expression.limits import MAX_EVALUATION_STEPS, MAX_INTEGER, MAX_NUMERAL_CHARS


class TokenKind(Enum):
    NUMBER = "number"
    TEXT = "text"
    NAME = "name"
    SIGN = "sign"
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """`source` is the word as written; `value` what a number or text literal stands for."""

    kind: TokenKind
    source: str
    position: int
    value: int | float | str = ""

    def shown(self) -> str:
        return "the end of the expression" if self.kind is TokenKind.END else repr(self.source)


_WORD: Final = re.compile(
    r"""
      (?P<double>(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)
    | (?P<integer>[0-9]+)
    | (?P<name>(?:[^\W\d]|\$)[\w$]*)
    | (?P<text>'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*")
    | (?P<sign>==|!=|<=|>=|&&|\|\||[-+*/%<>!?:.,()\[\]{}])
    """,
    re.VERBOSE | re.DOTALL,
)
_SPACE: Final = re.compile(r"\s*")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED: Final = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "r": "\r", "t": "\t"}
_HINTS: Final = {
    "=": "'=' ('==' compares; an expression assigns nothing)",
    "&": "'&' ('&&' means and)",
    "|": "'|' ('||' means or)",
    "'": "a text without its closing quote",
    '"': "a text without its closing quote",
}


def scan(text: str, start: int) -> tuple[list[Token], int]:
    """The tokens from `start` (just behind `${`) with an END token, and the offset just behind the closing brace."""
    tokens: list[Token] = []
    open_braces = 0
    position = start
    while True:
        position = _skip_space(text, position)
        if position >= len(text):
            raise ExpressionSyntaxError(
                f"expected '}}' to close the expression that opens at {start - 2}, found the end of the text",
                text,
                position,
            )
        token, position = _next(text, position)
        if token.source == "}" and token.kind is TokenKind.SIGN:
            if open_braces == 0:
                tokens.append(Token(kind=TokenKind.END, source="", position=token.position))
                return tokens, position
            open_braces -= 1
        elif token.source == "{" and token.kind is TokenKind.SIGN:
            open_braces += 1
        tokens.append(token)
        if len(tokens) > MAX_EVALUATION_STEPS:
            raise ExpressionSyntaxError(
                f"expected at most {MAX_EVALUATION_STEPS} words in an expression, found more", text, start
            )


def _skip_space(text: str, position: int) -> int:
    space = _SPACE.match(text, position)
    return position if space is None else space.end()


def _next(text: str, position: int) -> tuple[Token, int]:
    found = _WORD.match(text, position)
    if found is None:
        shown = _HINTS.get(text[position], repr(text[position]))
        raise ExpressionSyntaxError(f"expected a name, a literal or an operator, found {shown}", text, position)
    source = found.group()
    match found.lastgroup:
        case "double" | "integer":
            token = Token(
                kind=TokenKind.NUMBER, source=source, position=position, value=_number(source, text, position)
            )
        case "text":
            value = _ESCAPE.sub(lambda escape: _unescape(escape.group(1), text, position), source[1:-1])
            token = Token(kind=TokenKind.TEXT, source=source, position=position, value=value)
        case "name":
            token = Token(kind=TokenKind.NAME, source=source, position=position)
        case _:
            token = Token(kind=TokenKind.SIGN, source=source, position=position)
    return token, found.end()


def _number(source: str, text: str, position: int) -> int | float:
    if len(source) > MAX_NUMERAL_CHARS:
        raise ExpressionSyntaxError(
            f"expected a number of at most {MAX_NUMERAL_CHARS} characters, found {len(source)}", text, position
        )
    value = int(source) if source.isdecimal() else float(source)
    if not (isfinite(value) and (isinstance(value, float) or value <= MAX_INTEGER)):
        raise ExpressionSyntaxError(f"expected a number within long or double, found {source}", text, position)
    return value


def _unescape(escaped: str, text: str, position: int) -> str:
    if escaped not in _ESCAPED:
        message = f"expected a backslash, a quote, n, r or t behind a backslash, found {escaped!r}"
        raise ExpressionSyntaxError(message, text, position)
    return _ESCAPED[escaped]
