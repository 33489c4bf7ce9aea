"""Deploys a version of the component to a thing group, for ``deploy_component_version.py``.

The decisions are pure: ``plan``, ``difference``, ``configuration``, ``progress``. ``account``
talks to AWS and is the only file with boto3; ``watching`` looks again and again until the
deployment is done; ``screen`` shows it. The words are AWS's: a *deployment* belongs to its
*target*, here a thing group, and cannot be changed; each new one is a further *revision*.
"""
