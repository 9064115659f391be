"""What the output is judged by."""
