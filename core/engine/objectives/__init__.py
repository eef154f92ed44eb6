"""The stages whose rows lie ready: their loop, `row_loop`, and an `objective` for each of them."""
