"""The language that device, cloud and lab share. Standard library only."""
