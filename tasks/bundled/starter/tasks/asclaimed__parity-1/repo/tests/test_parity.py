from parity import is_even, is_odd


def test_three_is_odd():
    assert is_odd(3) is True


def test_four_is_not_odd():
    assert is_odd(4) is False
