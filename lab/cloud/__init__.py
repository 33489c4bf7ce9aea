"""The deployed backend of the lab: ``cloud/template.yaml``, with its rules and functions at work.

One message of a device goes: ``rules`` sees it, ``sql`` selects and shapes it, ``functions``
runs the handler on it as Lambda does; ``backend`` deploys what ``template`` says, counts and
breaks the AWS calls of the handlers (``aws_calls``), and lets each make those only that its
role's ``permissions`` allow, by the table of ``iam_actions``.

Left out, though AWS has it: timeouts and throttling of functions, rule actions other than
Lambda, and resources that no function here needs.
"""
