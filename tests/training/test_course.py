"""How long a training lasts, and when it cools down."""

from itertools import pairwise

import pytest

from softmining_nerfstudio.training.course import Course


def run(course: Course, steps: int, seconds: float = 1.0) -> Course:
    for _ in range(steps):
        course.add_step(seconds)
    return course


@pytest.mark.parametrize(
    ("options", "message"),
    [({"end": 0}, "more than 0"), ({"end": float("nan")}, "more than 0"), ({"end": 9, "share": 1.5}, "0 to 1")],
)
def test_a_course_without_length_or_with_an_absurd_cool_down_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Course(**options)


@pytest.mark.parametrize("unit", ["steps", "seconds"])
def test_the_last_share_of_a_training_cools_down_whatever_it_is_counted_in(unit: str) -> None:
    course, cooled = Course(10, unit, 0.4), []  # type: ignore[arg-type]
    while not course.finished:
        cooled.append(course.cooled)
        course.add_step(1.0)
    assert cooled == pytest.approx([0] * 7 + [0.25, 0.5, 0.75])
    assert course.cooled == 1


def test_without_a_share_nothing_cools_down() -> None:
    course = run(Course(10), 10)
    assert not course.cooling
    assert course.cooled == 0
    assert course.finished


def test_the_time_left_tells_the_number_of_steps() -> None:
    assert Course(10).expected_steps(3.0) == 10
    assert run(Course(100, "seconds"), 10, 2.0).expected_steps(0.5) == 10 + 160
    assert run(Course(100, "seconds"), 10, 20.0).expected_steps(0.5) == 10


@pytest.mark.parametrize("unit", ["steps", "seconds"])
def test_a_training_that_shall_finish_cools_down_for_the_share_of_its_steps(unit: str) -> None:
    course = run(Course(10_000, unit, 0.3), 20)  # type: ignore[arg-type]
    course.finish()
    cooled = []
    while not course.finished:
        course.add_step(0.1)
        cooled.append(course.cooled)
    assert len(cooled) == 6
    assert all(later > earlier for earlier, later in pairwise(cooled))
    assert cooled[-1] == 1


def test_a_cool_down_that_has_begun_is_not_begun_again() -> None:
    course = run(Course(10, "steps", 0.5), 7)
    course.finish()
    assert (course.begin, course.end) == (5, 10)


@pytest.mark.parametrize("unit", ["steps", "seconds"])
@pytest.mark.parametrize("done", [3, 8])
def test_a_resumed_training_is_on_the_same_course(unit: str, done: int) -> None:
    recorded = run(Course(10, unit, 0.5), done)  # type: ignore[arg-type]
    resumed = Course(10, unit, 0.5)  # type: ignore[arg-type]
    resumed.resume(done, recorded)
    assert resumed == recorded


def test_a_few_more_steps_are_all_cool_down() -> None:
    recorded, resumed = run(Course(1000, "steps", 0.3), 100), Course(120, "steps", 0.3)
    resumed.resume(100, recorded)
    assert resumed.cooling
    assert resumed.cooled == 0
    assert run(resumed, 10).cooled == 0.5


def test_half_a_minute_more_is_all_cool_down() -> None:
    recorded, resumed = run(Course(6000, "seconds", 0.3), 100), Course(130, "seconds", 0.3)
    resumed.resume(100, recorded)
    assert (resumed.cooling, resumed.cooled) == (True, 0)
    assert run(resumed, 30).finished


def test_a_checkpoint_that_says_nothing_of_its_course_counts_its_steps() -> None:
    resumed = Course(100, "steps", 0.3)
    resumed.resume(40, None)
    assert (resumed.steps, resumed.begin) == (40, 70)


@pytest.mark.parametrize(
    ("asked", "longer"),
    [
        (Course(20, "steps", 0.3), True),
        (Course(10, "steps", 0.3), False),
        (Course(5, "steps", 0.3), False),
        (Course(60, "seconds", 0.3), True),
        (Course(6, "seconds", 0.3), False),
    ],
)
def test_a_longer_training_goes_beyond_one_that_has_ended(asked: Course, longer: bool) -> None:
    assert asked.goes_beyond(run(Course(10, "steps", 0.3), 10)) is longer
