"""Importing this module lets transformers' Auto classes load the networks of every family."""

from wavefoundry.networks.config import register
from wavefoundry.networks.family import families

for name in families():
    register(name)
