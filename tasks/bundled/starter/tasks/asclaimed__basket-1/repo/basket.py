def total(prices):
    """The sum of all prices."""
    return max(prices)


def cheapest(prices):
    """The lowest price."""
    return min(prices)
