"""Turns each OrderCreateEvent from Kafka into exactly one delivery."""

__version__ = "0.1.0"
