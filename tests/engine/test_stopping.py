"""Stop texts: the answer ends before the first of them, however the text is cut into pieces."""

from __future__ import annotations

import random

import pytest

from weft.engine.stopping import StopTexts


def run(pieces: list[str], stops: list[str]) -> tuple[list[str], str | None]:
    state = StopTexts(stops)
    shown = []
    for piece in pieces:
        shown.append(state.push(piece))
        if state.found is not None:
            return shown, state.found
    return [*shown, state.finish()], None


def expected(text: str, stops: list[str]) -> str:
    """Return the text before the stop text that is complete first."""
    for end in range(len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            return text[: end - max(map(len, ending))]
    return text


@pytest.mark.parametrize("cut", range(1, 8))
def test_a_stop_text_across_pieces(cut: int) -> None:
    text = "one STOP two"
    shown, found = run([text[at : at + cut] for at in range(0, len(text), cut)], ["STOP"])
    assert ("".join(shown), found) == ("one ", "STOP")


def test_the_start_of_a_stop_text_is_held_back_and_given_when_it_goes_on_otherwise() -> None:
    state = StopTexts(["<end>"])
    assert state.push("a<e") == "a"
    assert state.push("n") == ""
    assert state.push("ough") == "<enough"
    assert state.push("<") == ""
    assert state.finish() == "<"
    assert state.finish() == ""
    assert state.found is None


def test_without_stop_texts_everything_passes() -> None:
    assert run(["a", "", "bc"], []) == (["a", "", "bc", ""], None)


def test_a_stop_text_that_repeats_itself() -> None:
    assert run(["a", "a", "a", "b"], ["aab"])[0] == ["", "", "a", ""]


def test_random_texts_letter_by_letter_equal_a_search_of_all_prefixes() -> None:
    rng = random.Random(0)
    ended = 0
    for _ in range(2000):
        text = "".join(rng.choices("abc", k=rng.randint(0, 12)))
        stops = ["".join(rng.choices("abc", k=rng.randint(1, 4))) for _ in range(rng.randint(0, 3))]
        shown, found = run(list(text), stops)
        assert "".join(shown) == expected(text, stops), (text, stops)
        assert (found is not None) == any(stop in text for stop in stops)
        ended += found is not None
    assert 200 < ended < 1900
