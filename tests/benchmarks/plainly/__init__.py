"""Two operations of the API as one writes them plainly in Django REST framework, to compare with.

What they do is the same: the tokens, limits, services and fields.
"""
