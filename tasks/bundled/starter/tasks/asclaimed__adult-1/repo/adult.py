def is_adult(age):
    """Whether somebody of `age` years is an adult: from 18 on."""
    return age > 18
