from basket import cheapest, total


def test_cheapest():
    assert cheapest([3, 2, 5]) == 2


def test_total_of_one():
    assert total([4]) == 4
