def first(items):
    """The first item."""
    return items[0]


def last(items):
    """The last item."""
    return items[1]
