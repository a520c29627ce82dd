"""How much an expression may ask for. A value from outside may be larger; what an expression produces may not."""

from typing import Final

MAX_TEXT_CHARS: Final = 100_000
"""Longest source text that holds an expression, literal parts included; text without expressions has no limit here."""

MAX_NESTING_DEPTH: Final = 32
"""Deepest nesting of brackets, conditionals and signs in front of an operand."""

MAX_TREE_DEPTH: Final = 150
"""Deepest tree of operations: `a + b + c` is one level deeper per operator, a chain of `&&` or `||` is flat."""

MAX_EVALUATION_STEPS: Final = 1_000
"""Most operations in one evaluation. There are no loops, so every word is at most one step and the lexer can count."""

MAX_RESULT_CHARS: Final = 1_000_000
"""Longest text that an operation may produce, in characters."""

MAX_RESULT_ITEMS: Final = 10_000
"""Longest list that an operation may produce."""

MAX_COMPARED_VALUES: Final = 50_000
"""Most single values that one comparison of lists or maps, or one search in them, may look at."""

MAX_INTEGER_BITS: Final = 63
"""Integers are Java longs: what does not fit is an error instead of a wrapped number. Sign not counted."""

MAX_INTEGER: Final = 2**MAX_INTEGER_BITS - 1
MIN_INTEGER: Final = -(2**MAX_INTEGER_BITS)

MAX_NUMERAL_CHARS: Final = 400
"""Longest text that is read as a number; the longest plain decimal of a double is shorter."""
