"""AWS Step Functions of the lab: state machines in the Amazon States Language, with JSONata.

``definition`` reads one and refuses what is not played here, ``expressions`` evaluates what
stands between ``{%`` and ``%}``, ``execution`` is one run of it, ``service`` the runs of an
account, with a clock that may be set, and ``ticking`` lets that clock's time come.

Left out, though AWS has it: JSONPath, the states Parallel and Map, tasks other than Lambda
functions, heartbeats, express workflows, redriving.
"""
