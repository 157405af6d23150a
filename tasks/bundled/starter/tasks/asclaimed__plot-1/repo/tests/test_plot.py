from plot import area, perimeter


def test_perimeter():
    assert perimeter(3, 4) == 14


def test_area_of_two_by_two():
    assert area(2, 2) == 4
