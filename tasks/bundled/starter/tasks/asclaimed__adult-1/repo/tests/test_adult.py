from adult import is_adult


def test_child():
    assert is_adult(10) is False


def test_grown_up():
    assert is_adult(40) is True
