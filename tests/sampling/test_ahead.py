"""One result ahead of need: taken where it is wanted, undone where it is not."""

import pytest

from softmining_nerfstudio.sampling import ahead as module
from softmining_nerfstudio.sampling.ahead import Ahead


class Counter:
    """A state that a piece of work changes."""

    def __init__(self) -> None:
        self.learnt = self.drawn = 0

    def remember(self):
        drawn = self.drawn

        def restore() -> None:
            self.drawn = drawn

        return restore

    def learn(self) -> None:
        self.learnt += 1

    def draw(self) -> int:
        self.drawn += 1
        return self.drawn


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def ahead(counter: Counter) -> Ahead[int]:
    ahead: Ahead[int] = Ahead(counter.remember)
    assert not ahead.begun
    ahead.begin("next", counter.learn, counter.draw)
    assert ahead.begun
    return ahead


def test_the_result_is_handed_out_once(ahead: Ahead[int], counter: Counter) -> None:
    assert ahead.take("next") == 1
    assert not ahead.begun
    assert (counter.learnt, counter.drawn) == (1, 1)


def test_what_nobody_wants_is_undone_but_for_what_came_first(ahead: Ahead[int], counter: Counter) -> None:
    assert ahead.take("another") is None
    assert (counter.learnt, counter.drawn, ahead.begun) == (1, 0, False)
    ahead.begin("again", counter.learn, counter.draw)
    ahead.undo()
    assert (counter.learnt, counter.drawn, ahead.begun) == (2, 0, False)


def test_an_interrupted_wait_leaves_the_result_to_be_undone(
    ahead: Ahead[int], counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ahead.take("next")
    assert ahead.begun
    ahead.undo()
    assert (counter.learnt, counter.drawn, ahead.begun) == (1, 0, False)


@pytest.mark.parametrize("ask", [lambda ahead: ahead.take("next"), lambda ahead: ahead.undo()])
def test_an_error_is_raised_where_somebody_asks(counter: Counter, ask) -> None:
    ahead: Ahead[int] = Ahead(counter.remember)
    ahead.begin("next", lambda: 1 / 0, counter.draw)
    with pytest.raises(ZeroDivisionError):
        ask(ahead)
    assert not ahead.begun
    assert counter.drawn == 0
