"""Announcements: the order service is told of each created delivery, once. Off unless asked for."""
