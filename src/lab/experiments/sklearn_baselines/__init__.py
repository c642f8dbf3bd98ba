"""Classifiers of scikit-learn, compared on several datasets; needs no PyTorch."""
