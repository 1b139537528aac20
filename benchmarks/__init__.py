"""
The system and what one would use instead, over the same work on one machine.

`python3 dev.py bench` runs it; README.md tells what is measured and how fairly.
"""
