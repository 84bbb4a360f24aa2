"""What is measured. Each measure yields samples, as soon as it has one: flat, as JSON takes them.

Nothing is summed up here. The report makes medians of them.
"""
