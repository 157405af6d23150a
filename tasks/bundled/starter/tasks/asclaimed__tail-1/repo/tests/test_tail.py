from tail import first, last


def test_first():
    assert first([5, 6, 7]) == 5


def test_last_of_two():
    assert last([5, 6]) == 6
