"""Programs are run by their tests, and not imported to look for doctests."""

collect_ignore = ["sources"]
