"""No test here asserts on time: machines are noisy, so Hypothesis is told not to either."""

from hypothesis import settings

settings.register_profile("classpulse", deadline=None)
settings.load_profile("classpulse")
