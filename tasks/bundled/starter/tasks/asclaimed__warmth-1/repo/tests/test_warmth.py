from warmth import fahrenheit


def test_colder_is_less():
    assert fahrenheit(-10) < fahrenheit(10)
