"""Parts of a lookup together are the whole."""

import pytest
import torch
from made_images import images_of, in_memory

from softmining_nerfstudio.images.pixels import Pixels
from softmining_nerfstudio.images.readers import LEAST, in_parts


@pytest.mark.parametrize("count", [0, 1, LEAST, 5 * LEAST + 3, 1000])
@pytest.mark.parametrize("readers", [1, 4, 16])
def test_every_place_is_looked_up_once(count: int, readers: int) -> None:
    found = torch.zeros(count)

    def look_up(part: slice) -> None:
        found[part] += 1

    in_parts(look_up, count, readers)
    assert (found == 1).all()


def test_an_error_in_a_part_is_raised() -> None:
    def look_up(part: slice) -> None:
        raise OSError(part.start)

    with pytest.raises(OSError, match="0"):
        in_parts(look_up, 1000, 4)


def test_many_readers_find_what_one_does() -> None:
    one = in_memory(images_of([(60, 80), (41, 17)]))
    many = Pixels(one.values, one.first, one.sizes, one.decoding, readers=16)
    slot, row, column = torch.randint(2, (500, 3)), torch.randint(41, (500, 3)), torch.randint(17, (500, 3))
    assert torch.equal(one.at(slot, row, column), many.at(slot, row, column))
