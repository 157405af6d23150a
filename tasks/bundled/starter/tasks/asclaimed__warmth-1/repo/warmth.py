def fahrenheit(celsius):
    """Degrees Celsius as degrees Fahrenheit."""
    return celsius * 9 / 5
