// Nothing is compiled here: see include/CFuzzer.h.
