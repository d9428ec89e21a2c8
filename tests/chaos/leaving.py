"""Who may delete their account while everything is broken: those whose id ends so.

Operators leave them alone, so that no run fails because its person has left.
"""

LEAVING = 7
