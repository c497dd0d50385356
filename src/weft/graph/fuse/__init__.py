"""From many kernel calls to few: vertical, horizontal and epilogue fusion."""
