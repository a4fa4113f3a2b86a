"""Policies to learn from: good ones, and wrong ones with the dimension that catches each."""
