"""The scenarios: what a rotation must survive, each played out and judged from outside.

``scenario`` is what they have in common, ``stage`` what they are played on: an account with
the backend deployed, and a core device in it. One file for each part of the list. A new
scenario is a function with a decorator; ``python -m lab scenario --list`` shows it then.
"""
