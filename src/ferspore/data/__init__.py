"""From a FER2013 file to training batches; nothing here imports MindSpore.

csv.py loads a file: rows.py parses it, cache.py keeps the arrays, faces.py says what they are.
practice.py draws a data set of its own: expressions.py says what to draw, drawing.py draws it.
batches.py gives the batches of a run: augment.py changes faces at random, resize.py their size.
audit.py finds what is wrong in a file, with twins.py and same_photo.py; views.py is for TTA.
"""
