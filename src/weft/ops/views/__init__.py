"""Views, movements of elements, windows and padding."""
