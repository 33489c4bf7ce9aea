"""The AWS account of the lab: moto where moto is right, corrected where it is not."""
