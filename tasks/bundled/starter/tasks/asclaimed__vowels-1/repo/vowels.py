VOWELS = "aeio"


def count_vowels(word):
    """How many letters of `word` are vowels."""
    return sum(letter in VOWELS for letter in word)
