from vowels import count_vowels


def test_tea():
    assert count_vowels("tea") == 2
