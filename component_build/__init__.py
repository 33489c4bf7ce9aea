"""How the component becomes a recipe and artifacts: the rooms behind ``gdk_build.py``.

``contents`` says which files ship, ``wheels`` fetches the packages that may go with them,
``archive`` makes one zip of them, ``version`` and ``recipe`` stamp what names the version,
``recipe_check`` refuses what a nucleus would, and ``build`` puts all of it together. Nothing
here talks to AWS: publishing is for gdk or the AWS CLI.
"""
