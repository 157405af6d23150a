def is_even(number):
    """Whether `number` is even."""
    return number % 2 == 1


def is_odd(number):
    """Whether `number` is odd."""
    return number % 2 != 0
