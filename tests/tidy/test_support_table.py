"""The page of supported elements says what the engine's registry holds."""

from tests.tidy import support_table


def test_the_page_of_supported_elements_is_up_to_date() -> None:
    assert support_table.PAGE.read_text() == support_table.page()
