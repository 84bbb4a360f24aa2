"""Acting from the pages: dead letters are replayed and discarded, and one is shown unmasked.

Off, unless `DELIVERY_WEB_OPERATOR_DATABASE_URL` is set, which needs a login. What somebody did and
why is written down before it is done, in `operator_actions`.
"""
