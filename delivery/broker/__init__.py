"""Kafka: the only package that imports kafka-python."""
