"""The command line's words in Python: ``einthoven.train``, and a scikit-learn-style classifier for arrays."""
