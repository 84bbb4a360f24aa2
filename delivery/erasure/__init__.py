"""Personal data is taken out of the log, and what was erased, by whom and why is written down.

What changes a row is `erase_personal_data` in the database, which a role of its own may call: see
migration 0007. Here is found whose rows it is to erase, and it is called portion by portion.
"""
