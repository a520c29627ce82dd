"""Which sequences a group read past."""

from mesh.bus.cursor import Cursor


def test_reading_without_gaps_moves_the_safe_sequence_along() -> None:
    cursor = Cursor(0, gaps_can_fill=True)

    cursor.read([1, 2, 3], 0.0)

    assert (cursor.seen, cursor.safe, cursor.spans) == (3, 3, [])


def test_a_gap_holds_the_safe_sequence_but_not_the_seen_one() -> None:
    cursor = Cursor(4, gaps_can_fill=True)

    cursor.read([5, 8, 9, 12], 1.0)

    assert (cursor.seen, cursor.safe, cursor.spans) == (12, 5, [(6, 7), (10, 11)])


def test_a_message_in_the_middle_of_a_gap_splits_it() -> None:
    cursor = Cursor(0, gaps_can_fill=True)
    cursor.read([10], 3.0)

    cursor.filled([4, 9])

    assert cursor.spans == [(1, 3), (5, 8)]
    assert cursor.oldest() == 3.0


def test_the_messages_of_a_gap_close_it() -> None:
    cursor = Cursor(0, gaps_can_fill=True)
    cursor.read([3], 0.0)

    cursor.filled([1, 2])

    assert (cursor.safe, cursor.spans, cursor.oldest()) == (3, [], None)


def test_dropping_settled_spans_keeps_younger_gaps() -> None:
    cursor = Cursor(0, gaps_can_fill=True)
    cursor.read([5], 0.0)
    settled = cursor.spans
    cursor.filled([2])
    cursor.read([8], 1.0)

    cursor.drop(settled)

    assert (cursor.safe, cursor.spans) == (5, [(6, 7)])


def test_gaps_that_cannot_fill_are_not_noted() -> None:
    cursor = Cursor(0, gaps_can_fill=False)

    cursor.read([5, 9], 0.0)

    assert (cursor.safe, cursor.spans) == (9, [])
