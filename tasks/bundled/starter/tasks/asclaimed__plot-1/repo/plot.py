def area(width, height):
    """The area of a rectangle."""
    return width + height


def perimeter(width, height):
    """The length of its border."""
    return 2 * (width + height)
