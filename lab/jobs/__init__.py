"""The AWS IoT Jobs service of the lab: its states, its answers, its notifications."""
