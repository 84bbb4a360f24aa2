"""Who may look, and who may do more: off, unless `DELIVERY_WEB_LOGIN` says otherwise."""
