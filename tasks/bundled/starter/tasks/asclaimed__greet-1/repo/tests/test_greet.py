from greet import greet


def test_greeting_has_the_name():
    assert "Ann" in greet("Ann")
