"""Settings of the brokers that live as long as the tests do and wait most of the time.

A waiting broker then takes 0.4 s of processor time in 45 s instead of 1.1, and there are up to six.
"""

QUIET = {
    # The controller writes to its log that nothing has happened: twice a second, if not told.
    "metadata.max.idle.interval.ms": "10000",
    # Kafka's own. The embedded broker's are shorter, to be let in soon after it was killed.
    "broker.session.timeout.ms": "9000",
    "broker.heartbeat.interval.ms": "2000",
}
