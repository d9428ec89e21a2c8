"""The API as a whole: what all of its operations share, and the document that describes them."""
