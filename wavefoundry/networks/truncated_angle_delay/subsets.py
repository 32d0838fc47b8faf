"""Which few of many things are meant, told in as few bits as there can be: subsets by their number."""

from math import comb


def subset_bits(size: int, chosen: int) -> int:
    """Bits that tell subsets of `chosen` out of `size` things apart."""
    return (comb(size, chosen) - 1).bit_length()


def number_of(subset: list[int]) -> int:
    """The number of a subset, given in ascending order: 0 to comb(size, len(subset)) - 1, whatever the size
    (combinatorial number system)."""
    return sum(comb(thing, place) for place, thing in enumerate(subset, start=1))


def subset_of(number: int, size: int, chosen: int) -> list[int]:
    """Inverse of `number_of`, in ascending order; numbers that no subset has stand for the last one."""
    number = min(number, comb(size, chosen) - 1)
    found = []
    thing, place = size - 1, chosen
    below = comb(thing, place)  # subsets of `place` things below `thing`
    while place:
        if below <= number:
            number -= below
            found.append(thing)
            # comb(thing - 1, place - 1) from comb(thing, place), without computing it anew.
            below = below * place // thing if thing else 0
            place -= 1
        else:
            below = below * (thing - place) // thing
        thing -= 1
    return found[::-1]
